;; Takes memory, a page at a time, until it gets no more, and answers with as many bytes as it has KiB.
;; The host must answer: ok, code 0, and no more KiB than an instance may have.
(module
  (memory (export "memory") 2)
  (global $next (mut i32) (i32.const 1024))
  (func $malloc (export "malloc") (param $size i32) (result i32)
    (global.get $next)
    (global.set $next (i32.add (global.get $next) (local.get $size))))
  (func (export "free") (param i32))
  (func $answer (param $r i32) (param $ptr i32) (param $len i32)
    (i64.store (local.get $r) (i64.const 0))
    (i32.store offset=8 (local.get $r) (local.get $len))
    (i32.store offset=12 (local.get $r) (local.get $ptr)))
  (func (export "event") (param $r i32) (param $ptr i32) (param $len i32)
    (loop $again
      (br_if $again (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
    (call $answer (local.get $r) (i32.const 1024) (i32.shl (memory.size) (i32.const 6)))))
