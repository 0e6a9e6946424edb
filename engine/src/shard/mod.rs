//! One core's storage state machine: points, completions and time in, operations and replies out.
