;; Fills 16 MiB of memory without end: each time is one instruction.
;; The host must answer: a timeout; one such instruction is over soon.
(module
  (memory (export "memory") 256)
  (global $next (mut i32) (i32.const 1024))
  (func $malloc (export "malloc") (param $size i32) (result i32)
    (global.get $next)
    (global.set $next (i32.add (global.get $next) (local.get $size))))
  (func (export "free") (param i32))
  (func (export "event") (param $r i32) (param $ptr i32) (param $len i32)
    (loop $again
      (memory.fill (i32.const 0) (local.get $len) (i32.const 0x1000000))
      (br $again))))
