//! The target `exact_numbers`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fulcrum::fuzzing::run("exact_numbers", data));
