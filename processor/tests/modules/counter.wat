;; Answers how many events this instance has had, as decimal text: "1", "2" ... Shows which events shared an instance.
;; The host must answer: ok, code 0, the count; "1" again only from a fresh instance.
(module
  (memory (export "memory") 2)
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
  (func (export "init"))
  (func $answer (param $r i32) (param $code i64) (param $ptr i32) (param $len i32)
    (i64.store (local.get $r) (local.get $code))
    (i32.store offset=8 (local.get $r) (local.get $len))
    (i32.store offset=12 (local.get $r) (local.get $ptr)))
  (global $count (mut i32) (i32.const 0))
  (func (export "event") (param $r i32) (param $ptr i32) (param $len i32)
    (local $rest i32) (local $at i32)
    (global.set $count (i32.add (global.get $count) (i32.const 1)))
    ;; Digits are written backwards, to end before address 48.
    (local.set $rest (global.get $count))
    (local.set $at (i32.const 48))
    (loop $next_digit
      (local.set $at (i32.sub (local.get $at) (i32.const 1)))
      (i32.store8 (local.get $at) (i32.add (i32.const 48) (i32.rem_u (local.get $rest) (i32.const 10))))
      (local.set $rest (i32.div_u (local.get $rest) (i32.const 10)))
      (br_if $next_digit (local.get $rest)))
    (call $answer (local.get $r) (i64.const 0) (local.get $at) (i32.sub (i32.const 48) (local.get $at))))
)
