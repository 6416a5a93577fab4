//! Results and logs: from their topics to the store, to read and to tail.
