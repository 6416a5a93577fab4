;; Has a memory to be shared between threads.
;; The host must answer: a module that cannot be used.
(module
  (global $next (mut i32) (i32.const 1024))
  (func $malloc (export "malloc") (param $size i32) (result i32)
    (global.get $next)
    (global.set $next (i32.add (global.get $next) (local.get $size))))
  (func (export "free") (param i32))
  (memory (export "memory") 2 2 shared)
  (func (export "event") (param $r i32) (param $ptr i32) (param $len i32)
    unreachable))
