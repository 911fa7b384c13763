;; A link of the matrix, lifted `async` without a callback: it blocks on a stack of its own.
;;
;; matrix.rs puts in, for IMPORTS and CALLS, how the next link is called: `$next-X` leaves the result of X in memory, at
;; its last parameter.

(module
  (import "[export]wharf:guests/matrix" "[task-return]number" (func $return-number (param i32)))
  (import "[export]wharf:guests/matrix" "[task-return]text" (func $return-text (param i32 i32)))
  (import "[export]wharf:guests/matrix" "[task-return]numbers" (func $return-numbers (param i32 i32)))
  (import "[export]wharf:guests/matrix" "[task-return]moved" (func $return-moved (param i32 i32 i32)))
  (import "[export]wharf:guests/matrix" "[task-return]checked" (func $return-checked (param i32 i32 i32 i32)))
  (import "[export]wharf:guests/matrix" "[task-return]lent" (func $return-lent (param i32)))
  (import "[export]wharf:guests/matrix" "[task-return]given" (func $return-given (param i32)))
  (import "[export]wharf:guests/matrix" "[task-return]bytes" (func $return-bytes (param i32)))
  (import "[export]wharf:guests/matrix" "[task-return]points" (func $return-points (param i32)))
  (import "[export]wharf:guests/matrix" "[task-return]counters" (func $return-counters (param i32)))
  (import "[export]wharf:guests/matrix" "[task-return]later" (func $return-later (param i32)))
  (import "[export]wharf:guests/matrix" "[task-return]rows" (func $return-rows (param i32 i32)))
  (import "wharf:guests/matrix-types" "[resource-drop]counter" (func $drop-counter (param i32)))
  IMPORTS

  (memory (export "memory") 1)
  (global $free (mut i32) (i32.const 0x1000))
  (func $realloc (export "cabi_realloc")
    (param $old i32) (param $old-bytes i32) (param i32) (param $bytes i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
    (global.set $free (i32.add (local.get $at) (local.get $bytes)))
    (memory.copy (local.get $at) (local.get $old) (local.get $old-bytes))
    (local.get $at))
  (func $new (param $bytes i32) (result i32)
    (call $realloc (i32.const 0) (i32.const 0) (i32.const 8) (local.get $bytes)))

  CALLS

  ;; "<" and ">" around a text: where it begins; it is two bytes longer.
  (func $marked (param $at i32) (param $bytes i32) (result i32)
    (local $marked i32)
    (local.set $marked (call $new (i32.add (local.get $bytes) (i32.const 2))))
    (i32.store8 (local.get $marked) (i32.const 60))
    (memory.copy (i32.add (local.get $marked) (i32.const 1)) (local.get $at) (local.get $bytes))
    (i32.store8 offset=1 (i32.add (local.get $marked) (local.get $bytes)) (i32.const 62))
    (local.get $marked))

  (func (export "[async-lift-stackful]wharf:guests/matrix#number") (param $number i32)
    (local $result i32)
    (local.set $result (call $new (i32.const 4)))
    (call $next-number (i32.add (local.get $number) (i32.const 1)) (local.get $result))
    (call $return-number (i32.add (i32.load (local.get $result)) (i32.const 100))))

  (func (export "[async-lift-stackful]wharf:guests/matrix#text") (param $at i32) (param $bytes i32)
    (local $result i32)
    (local.set $result (call $new (i32.const 8)))
    (call $next-text
      (call $marked (local.get $at) (local.get $bytes))
      (i32.add (local.get $bytes) (i32.const 2))
      (local.get $result))
    (call $return-text (i32.load (local.get $result)) (i32.load offset=4 (local.get $result))))

  (func (export "[async-lift-stackful]wharf:guests/matrix#numbers") (param $at i32) (param $length i32)
    (local $result i32) (local $numbers i32) (local $bytes i32)
    (local.set $result (call $new (i32.const 8)))
    (local.set $bytes (i32.shl (local.get $length) (i32.const 2)))
    (local.set $numbers (call $new (i32.add (local.get $bytes) (i32.const 4))))
    (memory.copy (local.get $numbers) (local.get $at) (local.get $bytes))
    (i32.store (i32.add (local.get $numbers) (local.get $bytes)) (i32.const 100))
    (call $next-numbers (local.get $numbers) (i32.add (local.get $length) (i32.const 1)) (local.get $result))
    (call $return-numbers (i32.load (local.get $result)) (i32.load offset=4 (local.get $result))))

  (func (export "[async-lift-stackful]wharf:guests/matrix#moved") (param $x i32) (param $at i32) (param $bytes i32)
    (local $result i32)
    (local.set $result (call $new (i32.const 12)))
    (call $next-moved
      (i32.add (local.get $x) (i32.const 100))
      (call $marked (local.get $at) (local.get $bytes))
      (i32.add (local.get $bytes) (i32.const 2))
      (local.get $result))
    (call $return-moved
      (i32.load (local.get $result))
      (i32.load offset=4 (local.get $result))
      (i32.load offset=8 (local.get $result))))

  ;; In memory: 0 and the number at 4; or 1, the problem at 4, its text at 8 and 12.
  (func (export "[async-lift-stackful]wharf:guests/matrix#checked") (param $number i32)
    (local $result i32)
    (local.set $result (call $new (i32.const 16)))
    (call $next-checked (local.get $number) (local.get $result))
    (if (i32.eqz (i32.load8_u (local.get $result))) (then
      (call $return-checked
        (i32.const 0)
        (i32.add (i32.load offset=4 (local.get $result)) (i32.const 100))
        (i32.const 0)
        (i32.const 0))
      (return)))
    (if (i32.eqz (i32.load8_u offset=4 (local.get $result))) (then
      (call $return-checked (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0))
      (return)))
    (call $return-checked
      (i32.const 1)
      (i32.const 1)
      (call $marked (i32.load offset=8 (local.get $result)) (i32.load offset=12 (local.get $result)))
      (i32.add (i32.load offset=12 (local.get $result)) (i32.const 2))))

  (func (export "[async-lift-stackful]wharf:guests/matrix#lent") (param $counter i32)
    (local $result i32)
    (local.set $result (call $new (i32.const 4)))
    (call $next-lent (local.get $counter) (local.get $result))
    (call $drop-counter (local.get $counter))
    (call $return-lent (i32.add (i32.load (local.get $result)) (i32.const 100))))

  (func (export "[async-lift-stackful]wharf:guests/matrix#given") (param $counter i32)
    (local $result i32)
    (local.set $result (call $new (i32.const 4)))
    (call $next-given (local.get $counter) (local.get $result))
    (call $return-given (i32.load (local.get $result))))

  (func (export "[async-lift-stackful]wharf:guests/matrix#bytes") (param $bytes i32)
    (local $result i32)
    (local.set $result (call $new (i32.const 4)))
    (call $next-bytes (local.get $bytes) (local.get $result))
    (call $return-bytes (i32.load (local.get $result))))

  (func (export "[async-lift-stackful]wharf:guests/matrix#points") (param $points i32)
    (local $result i32)
    (local.set $result (call $new (i32.const 4)))
    (call $next-points (local.get $points) (local.get $result))
    (call $return-points (i32.load (local.get $result))))

  (func (export "[async-lift-stackful]wharf:guests/matrix#counters") (param $counters i32)
    (local $result i32)
    (local.set $result (call $new (i32.const 4)))
    (call $next-counters (local.get $counters) (local.get $result))
    (call $return-counters (i32.load (local.get $result))))

  (func (export "[async-lift-stackful]wharf:guests/matrix#later") (param $text i32)
    (local $result i32)
    (local.set $result (call $new (i32.const 4)))
    (call $next-later (local.get $text) (local.get $result))
    (call $return-later (i32.load (local.get $result))))

  (func (export "[async-lift-stackful]wharf:guests/matrix#rows") (param $count i32)
    (local $result i32)
    (local.set $result (call $new (i32.const 8)))
    (call $next-rows (i32.add (local.get $count) (i32.const 1)) (local.get $result))
    (call $return-rows (i32.load (local.get $result)) (i32.load offset=4 (local.get $result)))))
