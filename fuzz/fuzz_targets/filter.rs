#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tower_sse_fuzz::filter(data));
