;; The end of a chain of the matrix, lifted `async` without a callback: it reads and writes its streams on a stack of its
;; own, without `async`, after it returned.
;;
;; Points, counters and futures come back as they are.

(module
  (import "[export]wharf:guests/matrix-types" "[resource-new]counter" (func $counter-new (param i32) (result i32)))
  (import "[export]wharf:guests/matrix-types" "[resource-rep]counter" (func $counter-rep (param i32) (result i32)))
  (import "[export]wharf:guests/matrix-types" "[task-return][method]counter.add" (func $return-add (param i32)))
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
  ;; Of `bytes`, stream 0 is the parameter and 1 the result; of `rows`, 0 is the stream and 1 the future.
  (import "[export]wharf:guests/matrix" "[stream-read-0]bytes" (func $bytes-read (param i32 i32 i32) (result i32)))
  (import "[export]wharf:guests/matrix" "[stream-drop-readable-0]bytes" (func $bytes-drop-readable (param i32)))
  (import "[export]wharf:guests/matrix" "[stream-new-1]bytes" (func $bytes-new (result i64)))
  (import "[export]wharf:guests/matrix" "[stream-write-1]bytes" (func $bytes-write (param i32 i32 i32) (result i32)))
  (import "[export]wharf:guests/matrix" "[stream-drop-writable-1]bytes" (func $bytes-drop-writable (param i32)))
  (import "[export]wharf:guests/matrix" "[stream-new-0]rows" (func $rows-new (result i64)))
  (import "[export]wharf:guests/matrix" "[stream-write-0]rows" (func $rows-write (param i32 i32 i32) (result i32)))
  (import "[export]wharf:guests/matrix" "[stream-drop-writable-0]rows" (func $rows-drop-writable (param i32)))
  (import "[export]wharf:guests/matrix" "[future-new-1]rows" (func $end-new (result i64)))
  (import "[export]wharf:guests/matrix" "[future-write-1]rows" (func $end-write (param i32 i32) (result i32)))
  (import "[export]wharf:guests/matrix" "[future-drop-writable-1]rows" (func $end-drop-writable (param i32)))
  (import "$root" "[thread-yield]" (func $yield (result i32)))

  (memory (export "memory") 1)
  (data (i32.const 0x100) "one")
  (data (i32.const 0x110) "row")
  (data (i32.const 0x120) "thirteen")
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
  ;; Others have a turn before any answer.
  (func $turn (drop (call $yield)))
  (func $reader (param $ends i64) (result i32) (i32.wrap_i64 (local.get $ends)))
  (func $writer (param $ends i64) (result i32) (i32.wrap_i64 (i64.shr_u (local.get $ends) (i64.const 32))))
  (func $is-dropped (param $result i32) (result i32)
    (i32.eq (i32.and (local.get $result) (i32.const 15)) (i32.const 1)))

  ;; A counter is where its number lies.
  (func (export "wharf:guests/matrix-types#[constructor]counter") (param $start i32) (result i32)
    (local $at i32)
    (local.set $at (call $new (i32.const 4)))
    (i32.store (local.get $at) (local.get $start))
    (call $counter-new (local.get $at)))
  (func $add (param $at i32) (param $amount i32) (result i32)
    (i32.store (local.get $at) (i32.add (i32.load (local.get $at)) (local.get $amount)))
    (i32.load (local.get $at)))
  (func (export "[async-lift-stackful]wharf:guests/matrix-types#[method]counter.add")
    (param $at i32) (param $amount i32)
    (call $turn)
    (call $return-add (call $add (local.get $at) (local.get $amount))))
  (func (export "wharf:guests/matrix-types#[method]counter.value") (param $at i32) (result i32)
    (i32.load (local.get $at)))

  (func (export "[async-lift-stackful]wharf:guests/matrix#number") (param $number i32)
    (call $turn)
    (call $return-number (i32.shl (local.get $number) (i32.const 1))))

  ;; Upper case, for ASCII.
  (func $raise (param $at i32) (param $bytes i32)
    (local $end i32)
    (local.set $end (i32.add (local.get $at) (local.get $bytes)))
    (loop $again
      (if (i32.eq (local.get $at) (local.get $end)) (then (return)))
      (if (i32.lt_u (i32.sub (i32.load8_u (local.get $at)) (i32.const 97)) (i32.const 26)) (then
        (i32.store8 (local.get $at) (i32.sub (i32.load8_u (local.get $at)) (i32.const 32)))))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br $again)))
  (func (export "[async-lift-stackful]wharf:guests/matrix#text") (param $at i32) (param $bytes i32)
    (call $turn)
    (call $raise (local.get $at) (local.get $bytes))
    (call $return-text (local.get $at) (local.get $bytes)))

  ;; The other way round.
  (func (export "[async-lift-stackful]wharf:guests/matrix#numbers") (param $at i32) (param $length i32)
    (local $numbers i32) (local $left i32)
    (call $turn)
    (local.set $numbers (call $new (i32.shl (local.get $length) (i32.const 2))))
    (local.set $left (local.get $length))
    (loop $again
      (if (local.get $left) (then
        (local.set $left (i32.sub (local.get $left) (i32.const 1)))
        (i32.store
          (i32.add (local.get $numbers) (i32.shl (local.get $left) (i32.const 2)))
          (i32.load (i32.add
            (local.get $at)
            (i32.shl (i32.sub (i32.sub (local.get $length) (i32.const 1)) (local.get $left)) (i32.const 2)))))
        (br $again))))
    (call $return-numbers (local.get $numbers) (local.get $length)))

  (func (export "[async-lift-stackful]wharf:guests/matrix#moved") (param $x i32) (param $at i32) (param $bytes i32)
    (call $turn)
    (call $raise (local.get $at) (local.get $bytes))
    (call $return-moved (i32.shl (local.get $x) (i32.const 1)) (local.get $at) (local.get $bytes)))

  (func (export "[async-lift-stackful]wharf:guests/matrix#checked") (param $number i32)
    (call $turn)
    (if (i32.eq (local.get $number) (i32.const 0)) (then
      (call $return-checked (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0))
      (return)))
    (if (i32.eq (local.get $number) (i32.const 1)) (then
      (call $return-checked (i32.const 1) (i32.const 1) (i32.const 0x100) (i32.const 3))
      (return)))
    (call $return-checked (i32.const 0) (local.get $number) (i32.const 0) (i32.const 0)))

  (func (export "[async-lift-stackful]wharf:guests/matrix#lent") (param $at i32)
    (call $turn)
    (call $return-lent (i32.load (local.get $at))))
  (func (export "[async-lift-stackful]wharf:guests/matrix#given") (param $counter i32)
    (call $turn)
    (drop (call $add (call $counter-rep (local.get $counter)) (i32.const 1)))
    (call $return-given (local.get $counter)))

  ;; Each byte one higher, one by one.
  (func (export "[async-lift-stackful]wharf:guests/matrix#bytes") (param $bytes i32)
    (local $ends i64) (local $at i32)
    (local.set $ends (call $bytes-new))
    (local.set $at (call $new (i32.const 1)))
    (call $return-bytes (call $reader (local.get $ends)))
    (loop $again
      (if (i32.eqz (call $is-dropped (call $bytes-read (local.get $bytes) (local.get $at) (i32.const 1)))) (then
        (i32.store8 (local.get $at) (i32.add (i32.load8_u (local.get $at)) (i32.const 1)))
        (br_if $again (i32.eqz (call $is-dropped
          (call $bytes-write (call $writer (local.get $ends)) (local.get $at) (i32.const 1))))))))
    (call $bytes-drop-readable (local.get $bytes))
    (call $bytes-drop-writable (call $writer (local.get $ends))))

  (func (export "[async-lift-stackful]wharf:guests/matrix#points") (param $points i32)
    (call $return-points (local.get $points)))
  (func (export "[async-lift-stackful]wharf:guests/matrix#counters") (param $counters i32)
    (call $return-counters (local.get $counters)))
  (func (export "[async-lift-stackful]wharf:guests/matrix#later") (param $text i32)
    (call $return-later (local.get $text)))

  ;; The end, in memory: 0; or 1, the problem at 4, its text at 8 and 12.
  (func (export "[async-lift-stackful]wharf:guests/matrix#rows") (param $count i32)
    (local $ends i64) (local $end-ends i64) (local $at i32) (local $x i32)
    (local.set $ends (call $rows-new))
    (local.set $end-ends (call $end-new))
    (local.set $at (call $new (i32.const 16)))
    (call $return-rows (call $reader (local.get $ends)) (call $reader (local.get $end-ends)))
    (i32.store offset=4 (local.get $at) (i32.const 0x110))
    (i32.store offset=8 (local.get $at) (i32.const 3))
    (loop $again
      (if (i32.lt_u (local.get $x) (local.get $count)) (then
        (i32.store (local.get $at) (local.get $x))
        (local.set $x (i32.add (local.get $x) (i32.const 1)))
        (br_if $again (i32.eqz (call $is-dropped
          (call $rows-write (call $writer (local.get $ends)) (local.get $at) (i32.const 1))))))))
    (call $rows-drop-writable (call $writer (local.get $ends)))
    (i64.store (local.get $at) (i64.const 0))
    (if (i32.eq (local.get $count) (i32.const 13)) (then
      (i32.store (local.get $at) (i32.const 1))
      (i32.store offset=4 (local.get $at) (i32.const 1))
      (i32.store offset=8 (local.get $at) (i32.const 0x120))
      (i32.store offset=12 (local.get $at) (i32.const 8))))
    (drop (call $end-write (call $writer (local.get $end-ends)) (local.get $at)))
    (call $end-drop-writable (call $writer (local.get $end-ends)))))
