;; Asks for 4 GiB - 1 of random bytes.
;; The host must answer: a trap; the host takes no 4 GiB.
(module
  (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
  (memory (export "memory") 2)
  (global $next (mut i32) (i32.const 1024))
  (func $malloc (export "malloc") (param $size i32) (result i32)
    (global.get $next)
    (global.set $next (i32.add (global.get $next) (local.get $size))))
  (func (export "free") (param i32))
  (func (export "event") (param $r i32) (param $ptr i32) (param $len i32)
    (drop (call $random_get (i32.const 0) (i32.const -1)))))
