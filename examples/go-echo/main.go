// Answers every event with itself. It shows, and tests, what a module of Go looks like to Jobico: a WASI reactor, whose
// `_initialize` starts Go's runtime before `init`, and whose `free` takes a pointer alone, as TinyGo's does.
package main

import (
	"encoding/binary"
	"unsafe"
)

// What a host may refer to: Go's collector sees no pointer that is outside of Go.
var held = map[uint32][]byte{}

// Required of a main package; a reactor never runs it.
func main() {}

// Go has its own init, hence the other name.
//
//go:wasmexport init
func ready() {}

//go:wasmexport malloc
func malloc(size uint32) uint32 {
	// One byte at least, for an address of its own.
	return hold(make([]byte, size, max(size, 1)))
}

//go:wasmexport free
func free(pointer uint32) {
	delete(held, pointer)
}

//go:wasmexport event
func event(answer, pointer, size uint32) {
	code, text := handle(held[pointer][:size])
	place := uint64(0)
	if len(text) > 0 {
		place = uint64(hold(text))<<32 | uint64(len(text))
	}
	binary.LittleEndian.PutUint64(held[answer], code)
	binary.LittleEndian.PutUint64(held[answer][8:], place)
}

// The function: the event's JSON in; a code, 0 for success, and a text of its own out.
func handle(event []byte) (uint64, []byte) {
	return 0, append([]byte(nil), event...)
}

func hold(bytes []byte) uint32 {
	pointer := uint32(uintptr(unsafe.Pointer(unsafe.SliceData(bytes))))
	held[pointer] = bytes
	return pointer
}
