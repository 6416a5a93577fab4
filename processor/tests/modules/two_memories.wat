;; Has two memories.
;; The host must answer: a module that cannot be used.
(module
  (memory (export "memory") 2)
  (global $next (mut i32) (i32.const 1024))
  (func $malloc (export "malloc") (param $size i32) (result i32)
    (global.get $next)
    (global.set $next (i32.add (global.get $next) (local.get $size))))
  (func (export "free") (param i32))
  (memory $other 2)
  (func $answer (param $r i32) (param $ptr i32) (param $len i32)
    (i64.store (local.get $r) (i64.const 0))
    (i32.store offset=8 (local.get $r) (local.get $len))
    (i32.store offset=12 (local.get $r) (local.get $ptr)))
  (func (export "event") (param $r i32) (param $ptr i32) (param $len i32)
    (call $answer (local.get $r) (local.get $ptr) (local.get $len))))
