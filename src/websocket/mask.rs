//! The mask that clients put over their payloads.

/// Takes the mask off `payload`, whose first byte meets the first of `key`.
pub(super) fn unmask(payload: &mut [u8], key: [u8; 4]) {
    let [a, b, c, d] = key;
    let wide = [a, b, c, d, a, b, c, d];
    let (words, tail) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ u64::from_ne_bytes(wide)).to_ne_bytes();
    }
    for (byte, key) in tail.iter_mut().zip(wide) {
        *byte ^= key;
    }
}
