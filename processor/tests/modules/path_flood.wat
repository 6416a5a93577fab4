;; Opens a path of 16 MiB without end.
;; The host must answer: a timeout; one such call is over soon.
(module
  (import "wasi_snapshot_preview1" "path_open" (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (memory (export "memory") 256)
  (global $next (mut i32) (i32.const 1024))
  (func $malloc (export "malloc") (param $size i32) (result i32)
    (global.get $next)
    (global.set $next (i32.add (global.get $next) (local.get $size))))
  (func (export "free") (param i32))
  (func (export "event") (param $r i32) (param $ptr i32) (param $len i32)
    (memory.fill (i32.const 64) (i32.const 97) (i32.const 0xffff00))
    (loop $again
      (drop (call $path_open (i32.const 3) (i32.const 0) (i32.const 64) (i32.const 0xffff00) (i32.const 0)
        (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 16)))
      (br $again))))
