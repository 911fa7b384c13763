    ;; Blocks until an async call has returned, unless it has.
    (func $wait (param $packed i32)
      (local $subtask i32) (local $set i32) (local $event i32)
      (if (i32.eq (local.get $packed) (i32.const 2 (; returned ;))) (then (return)))
      (local.set $subtask (i32.shr_u (local.get $packed) (i32.const 4)))
      (local.set $set (call $set-new))
      (local.set $event (call $new (i32.const 8)))
      (call $join (local.get $subtask) (local.get $set))
      (loop $again
        (drop (call $set-wait (local.get $set) (local.get $event)))
        (br_if $again (i32.ne (i32.load offset=4 (local.get $event)) (i32.const 2 (; returned ;)))))
      (call $subtask-drop (local.get $subtask))
      (call $set-drop (local.get $set)))
