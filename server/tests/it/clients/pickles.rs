//! Pickles of protocol 2 by hand, in frames: good points, and parts to build bad ones of.

/// A pickle with its length before it.
pub(crate) fn frame(pickle: &[u8]) -> Vec<u8> {
    let length = u32::try_from(pickle.len()).unwrap();
    [&length.to_be_bytes(), pickle].concat()
}

/// A list of items that are pickled already.
pub(crate) fn list(items: &[u8]) -> Vec<u8> {
    [b"\x80\x02](", items, b"e."].concat()
}

/// (name, (stamp, value)), the numbers pickled already.
pub(crate) fn item(name: &[u8], stamp: &[u8], value: &[u8]) -> Vec<u8> {
    [&text(name), stamp, value, b"\x86\x86"].concat()
}

/// A text, or bytes that claim to be one.
#[expect(clippy::little_endian_bytes, reason = "as pickle has it")]
pub(crate) fn text(name: &[u8]) -> Vec<u8> {
    let length = u32::try_from(name.len()).unwrap();
    [b"X", &length.to_le_bytes()[..], name].concat()
}

/// A timestamp before 2038.
#[expect(clippy::little_endian_bytes, reason = "as pickle has it")]
pub(crate) fn int(time: u32) -> Vec<u8> {
    [b"J", &time.to_le_bytes()[..]].concat()
}

/// A float.
pub(crate) fn float(value: f64) -> Vec<u8> {
    [b"G", &value.to_be_bytes()[..]].concat()
}
