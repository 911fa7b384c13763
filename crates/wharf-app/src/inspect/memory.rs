//! How much memory an instance begins with.

use wasmparser::{Parser, Payload};

/// Bytes of the largest memory that a module of the component `bytes` begins with; what cannot be read has none.
pub fn largest_memory(bytes: &[u8]) -> u64 {
    let payloads = Parser::new(0).parse_all(bytes).map_while(Result::ok);
    let memories = payloads.flat_map(|payload| match payload {
        Payload::MemorySection(memories) => memories.into_iter().map_while(Result::ok).collect(),
        _ => Vec::new(),
    });
    let bytes = memories.map(|memory| {
        // Read and not validated: it may say anything.
        let page = 1_u64.checked_shl(memory.page_size_log2.unwrap_or(PAGE_SIZE_LOG2));
        memory.initial.saturating_mul(page.unwrap_or(u64::MAX))
    });
    bytes.max().unwrap_or(0)
}

/// 64 KiB, where a memory does not say otherwise.
const PAGE_SIZE_LOG2: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_of_all_modules_counts() {
        let bytes = |text: &str| wat::parse_str(text).unwrap();
        let component = "(component (core module (memory 1)) (component (core module (memory 17))) (core module))";
        assert_eq!(largest_memory(&bytes(component)), 17 << 16);
        assert_eq!(largest_memory(&bytes("(component)")), 0);
        assert_eq!(largest_memory(b"\0asm"), 0);
    }
}
