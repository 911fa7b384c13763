;; task.return: how an async export hands over its result, and how often it may.

(component
  (core module $Memory
    (memory (export "memory") 1)
    (data (i32.const 16) "returned early"))
  (core instance $memory (instantiate $Memory))

  (core func $return-none (canon task.return))
  (core func $return-u32 (canon task.return (result u32)))
  (core func $return-string (canon task.return (result string) (memory $memory "memory")))
  (type $many (tuple u8 s16 u32 s64 f32 f64 bool char))
  (core func $return-many (canon task.return (result $many)))
  (type $wide (tuple u64 u64 u64 u64 u64 u64 u64 u64 u64 u64 u64 u64 u64 u64 u64 u64 u64))
  (core func $return-wide (canon task.return (result $wide) (memory $memory "memory")))

  (core module $M
    (import "" "memory" (memory 1))
    (import "" "return-none" (func $return-none))
    (import "" "return-u32" (func $return-u32 (param i32)))
    (import "" "return-string" (func $return-string (param i32 i32)))
    (import "" "return-many" (func $return-many (param i32 i32 i32 i64 f32 f64 i32 i32)))
    (import "" "return-wide" (func $return-wide (param i32)))
    (global $ran-on (mut i32) (i32.const 0))

    (func $unexpected (export "callback-unexpected") (param i32 i32 i32) (result i32) unreachable)

    ;; Returned from the first activation, no event ever delivered.
    (func (export "nothing") (result i32)
      (call $return-none)
      (i32.const 0 (; exit ;)))
    (func (export "number") (result i32)
      (call $return-u32 (i32.const 42))
      (i32.const 0 (; exit ;)))
    (func (export "text") (result i32)
      (call $return-string (i32.const 16) (i32.const 8))
      (i32.const 0 (; exit ;)))
    ;; Up to 16 core values are passed one by one ...
    (func (export "many") (result i32)
      (call $return-many
        (i32.const 255) (i32.const -32768) (i32.const -1) (i64.const -2)
        (f32.const 0.5) (f64.const -0.25) (i32.const 1) (i32.const 0x1f980))
      (i32.const 0 (; exit ;)))
    ;; ... and more than that through memory.
    (func (export "wide") (result i32)
      (i64.store (i32.const 1024) (i64.const 1))
      (i64.store (i32.const 1152) (i64.const 17))
      (call $return-wide (i32.const 1024))
      (i32.const 0 (; exit ;)))

    ;; Returned from the callback, after a yield.
    (func (export "later") (result i32) (i32.const 1 (; yield ;)))
    (func (export "callback-later") (param i32 i32 i32) (result i32)
      (call $return-u32 (i32.const 43))
      (i32.const 0 (; exit ;)))

    ;; A task goes on after it returned; its caller has the result already.
    (func (export "early") (result i32)
      (call $return-u32 (i32.const 44))
      (i32.const 1 (; yield ;)))
    (func (export "callback-early") (param i32 i32 i32) (result i32)
      (global.set $ran-on (i32.add (global.get $ran-on) (i32.const 1)))
      (i32.const 0 (; exit ;)))
    (func (export "ran-on") (result i32) (global.get $ran-on))

    ;; Stackful: no callback, the core function returns nothing.
    (func (export "stackful")
      (call $return-u32 (i32.const 45))))
  (core instance $m (instantiate $M (with "" (instance
    (export "memory" (memory $memory "memory"))
    (export "return-none" (func $return-none))
    (export "return-u32" (func $return-u32))
    (export "return-string" (func $return-string))
    (export "return-many" (func $return-many))
    (export "return-wide" (func $return-wide))))))

  (func (export "nothing") async
    (canon lift (core func $m "nothing") async (callback (func $m "callback-unexpected"))))
  (func (export "number") async (result u32)
    (canon lift (core func $m "number") async (callback (func $m "callback-unexpected"))))
  (func (export "text") async (result string)
    (canon lift (core func $m "text") async (memory $memory "memory") (callback (func $m "callback-unexpected"))))
  (func (export "many") async (result $many)
    (canon lift (core func $m "many") async (callback (func $m "callback-unexpected"))))
  (func (export "wide") async (result $wide)
    (canon lift (core func $m "wide") async (memory $memory "memory") (callback (func $m "callback-unexpected"))))
  (func (export "later") async (result u32)
    (canon lift (core func $m "later") async (callback (func $m "callback-later"))))
  (func (export "early") async (result u32)
    (canon lift (core func $m "early") async (callback (func $m "callback-early"))))
  (func (export "ran-on") async (result u32) (canon lift (core func $m "ran-on")))
  (func (export "stackful") async (result u32) (canon lift (core func $m "stackful") async)))

(assert_return (invoke "nothing"))
(assert_return (invoke "number") (u32.const 42))
(assert_return (invoke "text") (str.const "returned"))
(assert_return (invoke "many") (tuple.const
  (u8.const 255) (s16.const -32768) (u32.const 4294967295) (s64.const -2)
  (f32.const 0.5) (f64.const -0.25) (bool.const true) (char.const "🦀")))
(assert_return (invoke "wide") (tuple.const
  (u64.const 1) (u64.const 0) (u64.const 0) (u64.const 0) (u64.const 0) (u64.const 0) (u64.const 0) (u64.const 0)
  (u64.const 0) (u64.const 0) (u64.const 0) (u64.const 0) (u64.const 0) (u64.const 0) (u64.const 0) (u64.const 0)
  (u64.const 17)))
(assert_return (invoke "later") (u32.const 43))
(assert_return (invoke "stackful") (u32.const 45))
(assert_return (invoke "early") (u32.const 44))
(assert_return (invoke "later") (u32.const 43))
(assert_return (invoke "ran-on") (u32.const 1))

;; What a task must not do. Each export has an instance of its own: a trap ends the instance.
(component definition $Wrong
  (core module $Memory (memory (export "memory") 1))
  (core instance $memory (instantiate $Memory))
  (core instance $other-memory (instantiate $Memory))

  (core func $return-none (canon task.return))
  (core func $return-u32 (canon task.return (result u32)))
  (core func $return-string (canon task.return (result string) (memory $memory "memory")))
  (core func $return-string-elsewhere (canon task.return (result string) (memory $other-memory "memory")))
  (core func $return-string-utf16
    (canon task.return (result string) string-encoding=utf16 (memory $memory "memory")))

  (core module $M
    (import "" "return-none" (func $return-none))
    (import "" "return-u32" (func $return-u32 (param i32)))
    (import "" "return-string" (func $return-string (param i32 i32)))
    (import "" "return-string-elsewhere" (func $return-string-elsewhere (param i32 i32)))
    (import "" "return-string-utf16" (func $return-string-utf16 (param i32 i32)))

    (func (export "callback") (param i32 i32 i32) (result i32) (i32.const 0 (; exit ;)))
    (func (export "twice") (result i32)
      (call $return-u32 (i32.const 1))
      (call $return-u32 (i32.const 2))
      (i32.const 0 (; exit ;)))
    (func (export "never") (result i32) (i32.const 0 (; exit ;)))
    (func (export "never-after-yield") (result i32) (i32.const 1 (; yield ;)))
    (func (export "never-stackful"))
    (func (export "other-type") (result i32)
      (call $return-none)
      (i32.const 0 (; exit ;)))
    (func (export "other-memory") (result i32)
      (call $return-string-elsewhere (i32.const 0) (i32.const 0))
      (i32.const 0 (; exit ;)))
    (func (export "other-encoding") (result i32)
      (call $return-string-utf16 (i32.const 0) (i32.const 0))
      (i32.const 0 (; exit ;)))
    (func (export "out-of-bounds") (result i32)
      (call $return-string (i32.const 0xffff) (i32.const 2))
      (i32.const 0 (; exit ;)))
    (func (export "code-beyond-the-last") (result i32)
      (call $return-u32 (i32.const 1))
      (i32.const 3)))
  (core instance $m (instantiate $M (with "" (instance
    (export "return-none" (func $return-none))
    (export "return-u32" (func $return-u32))
    (export "return-string" (func $return-string))
    (export "return-string-elsewhere" (func $return-string-elsewhere))
    (export "return-string-utf16" (func $return-string-utf16))))))

  (func (export "twice") async (result u32)
    (canon lift (core func $m "twice") async (callback (func $m "callback"))))
  (func (export "never") async (result u32)
    (canon lift (core func $m "never") async (callback (func $m "callback"))))
  (func (export "never-after-yield") async (result u32)
    (canon lift (core func $m "never-after-yield") async (callback (func $m "callback"))))
  (func (export "never-stackful") async (result u32)
    (canon lift (core func $m "never-stackful") async))
  (func (export "other-type") async (result u32)
    (canon lift (core func $m "other-type") async (callback (func $m "callback"))))
  (func (export "other-memory") async (result string)
    (canon lift (core func $m "other-memory") async (memory $memory "memory") (callback (func $m "callback"))))
  (func (export "other-encoding") async (result string)
    (canon lift (core func $m "other-encoding") async (memory $memory "memory") (callback (func $m "callback"))))
  (func (export "out-of-bounds") async (result string)
    (canon lift (core func $m "out-of-bounds") async (memory $memory "memory") (callback (func $m "callback"))))
  (func (export "code-beyond-the-last") async (result u32)
    (canon lift (core func $m "code-beyond-the-last") async (callback (func $m "callback")))))

(component instance $twice $Wrong)
(assert_trap (invoke "twice") "`task.return` or `task.cancel` called more than once for current task")
(component instance $never $Wrong)
(assert_trap (invoke "never") "async-lifted export failed to produce a result")
(component instance $never-after-yield $Wrong)
(assert_trap (invoke "never-after-yield") "async-lifted export failed to produce a result")
(component instance $never-stackful $Wrong)
(assert_trap (invoke "never-stackful") "async-lifted export failed to produce a result")
(component instance $other-type $Wrong)
(assert_trap (invoke "other-type") "invalid `task.return` signature and/or options for current task")
(component instance $other-memory $Wrong)
(assert_trap (invoke "other-memory") "invalid `task.return` signature and/or options for current task")
(component instance $other-encoding $Wrong)
(assert_trap (invoke "other-encoding") "invalid `task.return` signature and/or options for current task")
(component instance $out-of-bounds $Wrong)
(assert_trap (invoke "out-of-bounds") "out of bounds")
(component instance $code $Wrong)
(assert_trap (invoke "code-beyond-the-last") "unsupported callback code")

;; A trap ends the instance, not only the task.
(component instance $after $Wrong)
(assert_trap (invoke "twice") "`task.return` or `task.cancel` called more than once for current task")
(assert_trap (invoke "never") "cannot enter component instance")

;; What validation refuses.
(assert_invalid
  (component
    (core module $M (func (export "f")))
    (core instance $m (instantiate $M))
    (func (result u32) (canon lift (core func $m "f") async)))
  "the `async` canonical option requires an async function type")
(assert_invalid
  (component
    (core module $M (func (export "f") (result i32) unreachable) (func (export "callback") (param i32 i32)))
    (core instance $m (instantiate $M))
    (func async (canon lift (core func $m "f") async (callback (func $m "callback")))))
  "canonical option `callback` uses a core function with an incorrect signature")
(assert_invalid
  (component
    (core module $M
      (func (export "f") (result i32) unreachable)
      (func (export "callback") (param i32 i32 i32) (result i32) unreachable))
    (core instance $m (instantiate $M))
    (func async (canon lift (core func $m "f") (callback (func $m "callback")))))
  "cannot specify callback without async")
(assert_invalid
  (component
    (core module $M (memory (export "memory") 1) (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable))
    (core instance $m (instantiate $M))
    (core func (canon task.return (result string) (memory $m "memory") (realloc (func $m "realloc")))))
  "`realloc`")
