;; Answers half a MiB of 'a', whatever it is asked.
;; The host must answer: ok, code 0, all of it.
(module
  (memory (export "memory") 10)
  ;; A bump allocator that starts again when nothing is live.
  (global $next (mut i32) (i32.const 1024))
  (global $live (mut i32) (i32.const 0))
  (func $malloc (export "malloc") (param $size i32) (result i32)
    (local $at i32)
    (local.set $at (global.get $next))
    (global.set $next (i32.and (i32.add (i32.add (local.get $at) (local.get $size)) (i32.const 7)) (i32.const -8)))
    (global.set $live (i32.add (global.get $live) (i32.const 1)))
    (local.get $at))
  (func (export "free") (param $ptr i32)
    ;; What is not from here, such as a constant answer, is let be.
    (if (i32.or (i32.lt_u (local.get $ptr) (i32.const 1024)) (i32.ge_u (local.get $ptr) (global.get $next)))
      (then (return)))
    (global.set $live (i32.sub (global.get $live) (i32.const 1)))
    (if (i32.eqz (global.get $live)) (then (global.set $next (i32.const 1024)))))
  (func (export "init")
    (memory.fill (i32.const 131072) (i32.const 97) (i32.const 524288)))
  (func $answer (param $r i32) (param $code i64) (param $ptr i32) (param $len i32)
    (i64.store (local.get $r) (local.get $code))
    (i32.store offset=8 (local.get $r) (local.get $len))
    (i32.store offset=12 (local.get $r) (local.get $ptr)))
  (func (export "event") (param $r i32) (param $ptr i32) (param $len i32)
    (call $answer (local.get $r) (i64.const 0) (i32.const 131072) (i32.const 524288)))
)
