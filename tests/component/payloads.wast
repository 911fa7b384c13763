;; A producer and a consumer of one stream or future. payloads.rs fills in the words in capitals.

(component
  (component $Producer
    (core module $Memory
      (memory (export "memory") 1)
      (data (i32.const 0x100) "ELEMENTS")
      (data (i32.const 0x600) "TEXT"))
    (core instance $memory (instantiate $Memory))
    (type $type (KIND PAYLOAD))
    (core func $new (canon KIND.new $type))
    (core func $write (canon KIND.write $type async (memory $memory "memory")))
    (core func $drop-writable (canon KIND.drop-writable $type))
    (core func $set-new (canon waitable-set.new))
    (core func $set-poll (canon waitable-set.poll (memory $memory "memory")))
    (core func $join (canon waitable.join))
    (core module $M
      (import "" "memory" (memory 1))
      (import "" "new" (func $new (result i64)))
      (import "" "write" (func $write (param i32 i32) COUNT_TYPE (result i32)))
      (import "" "drop-writable" (func $drop-writable (param i32)))
      (import "" "set-new" (func $set-new (result i32)))
      (import "" "set-poll" (func $set-poll (param i32 i32) (result i32)))
      (import "" "join" (func $join (param i32 i32)))
      (global $writer (mut i32) (i32.const 0))
      (func (export "get") (result i32)
        (local $ends i64)
        (local.set $ends (call $new))
        (global.set $writer (i32.wrap_i64 (i64.shr_u (local.get $ends) (i64.const 32))))
        (if (i32.ne (i32.const -1 (; blocked ;)) (call $write (global.get $writer) (i32.const 0x100) COUNT))
          (then unreachable))
        (i32.wrap_i64 (local.get $ends)))
      ;; What the writer was told; it goes then.
      (func (export "told") (result i32)
        (local $set i32)
        (local.set $set (call $set-new))
        (call $join (global.get $writer) (local.get $set))
        (if (i32.ne (i32.const WRITE_EVENT) (call $set-poll (local.get $set) (i32.const 32))) (then unreachable))
        (call $drop-writable (global.get $writer))
        (i32.load (i32.const 36))))
    (core instance $m (instantiate $M (with "" (instance
      (export "memory" (memory $memory "memory"))
      (export "new" (func $new))
      (export "write" (func $write))
      (export "drop-writable" (func $drop-writable))
      (export "set-new" (func $set-new))
      (export "set-poll" (func $set-poll))
      (export "join" (func $join))))))
    (func (export "get") (result $type) (canon lift (core func $m "get")))
    (func (export "told") (result u32) (canon lift (core func $m "told"))))

  (component $Consumer
    (import "producer" (instance $producer
      (export "get" (func (result (KIND PAYLOAD))))
      (export "told" (func (result u32)))))
    (core module $Memory
      (memory (export "memory") 1)
      (global $free (mut i32) (i32.const 0x8000))
      (func (export "realloc") (param i32 i32 i32) (param $size i32) (result i32)
        (local $at i32)
        (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
        (global.set $free (i32.add (local.get $at) (local.get $size)))
        (local.get $at)))
    (core instance $memory (instantiate $Memory))
    (type $type (KIND PAYLOAD))
    (core func $get (canon lower (func $producer "get")))
    (core func $told (canon lower (func $producer "told")))
    (core func $read
      (canon KIND.read $type async (memory $memory "memory") (realloc (func $memory "realloc"))))
    (core func $drop-readable (canon KIND.drop-readable $type))
    (core module $M
      (import "" "memory" (memory 1))
      (import "" "get" (func $get (result i32)))
      (import "" "told" (func $told (result i32)))
      (import "" "read" (func $read (param i32 i32) COUNT_TYPE (result i32)))
      (import "" "drop-readable" (func $drop-readable (param i32)))
      (global $end (mut i32) (i32.const 0x1000))
      (func $note (param $number i32)
        (i32.store (global.get $end) (local.get $number))
        (global.set $end (i32.add (global.get $end) (i32.const 4))))
      (func (export "run") (result i32)
        (local $reader i32)
        (local.set $reader (call $get))
        ;;READS
        ;;LOADS
        (call $note (call $told))
        ;;LAST
        (call $drop-readable (local.get $reader))
        (i32.store (i32.const 8) (i32.const 0x1000))
        (i32.store (i32.const 12) (i32.shr_u (i32.sub (global.get $end) (i32.const 0x1000)) (i32.const 2)))
        (i32.const 8)))
    (core instance $m (instantiate $M (with "" (instance
      (export "memory" (memory $memory "memory"))
      (export "get" (func $get))
      (export "told" (func $told))
      (export "read" (func $read))
      (export "drop-readable" (func $drop-readable))))))
    (func (export "run") (result (list u32)) (canon lift (core func $m "run") (memory $memory "memory"))))

  (instance $producer (instantiate $Producer))
  (instance $consumer (instantiate $Consumer (with "producer" (instance $producer))))
  (export "run" (func $consumer "run")))

(assert_return (invoke "run") (list.const ;;EXPECTED
))
