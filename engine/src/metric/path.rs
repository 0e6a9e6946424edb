//! Names as paths: folding of untagged names, bounds of components, and the files themselves.
//! An untagged name is its path with dots for slashes, so that canonical names and paths stand one
//! to one. A tagged name lies in `_tagged/H[0:3]/H[3:6]/`, H being its SHA-256 in hex.
//! Never looks at a disk. Invariant: components come from between dots, so none is `.` or `..`.

use sha2::{Digest, Sha256};

use super::{FILE_SUFFIX, LAST_COMPONENT_BYTES_MAX, NameError, TaggedLeaf};
use crate::limits::PATH_COMPONENT_BYTES_MAX;

/// Directory of the tagged metrics' files.
const TAGGED_DIRECTORY: &str = "_tagged";
/// How Python writes a dot in the readable file name of a tagged metric.
const DOT: &str = "_DOT_";

/// The quick check, one pass without a branch per byte: true only for canonical names, false also
/// for some that are (with tags, beyond ASCII, long, or beginning with `_`).
pub(super) fn is_plainly_canonical(name: &str) -> bool {
    let bytes = name.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
        return false;
    };
    // A name this short has no component that is too long. A closing brace may end OpenMetrics'
    // tags, and `_` may begin the reserved directory.
    if bytes.len() > LAST_COMPONENT_BYTES_MAX
        || matches!(first, b'~' | b'.' | b'_')
        || matches!(last, b'.' | b'}')
    {
        return false;
    }
    if needs_a_closer_look(*last, 0) != 0 {
        return false;
    }
    let (each, next) = (&bytes[..bytes.len() - 1], &bytes[1..]);
    match each.len() {
        16.. => are_plain::<16>(each, next),
        8.. => are_plain::<8>(each, next),
        _ => each
            .iter()
            .zip(next)
            .all(|(byte, next)| needs_a_closer_look(*byte, *next) == 0),
    }
}

/// Whether none of the bytes needs a closer look, by `N` of them at once: the compiler turns each
/// step into vector code. The last step looks again at some bytes of the one before, so that
/// nothing is left over for a loop by single bytes. 7 ns for names of 29 bytes, against 12 with
/// such a loop and 10 with words of eight bytes. By index: written with iterators, it takes 13.
fn are_plain<const N: usize>(each: &[u8], next: &[u8]) -> bool {
    let mut refused = [0; N];
    for (each, next) in each.as_chunks().0.iter().zip(next.as_chunks().0) {
        look(&mut refused, each, next);
    }
    let (Some(each), Some(next)) = (each.last_chunk(), next.last_chunk()) else {
        unreachable!("{} bytes where {N} were counted", each.len());
    };
    look(&mut refused, each, next);
    refused == [0; N]
}

#[inline]
fn look<const N: usize>(refused: &mut [u8; N], each: &[u8; N], next: &[u8; N]) {
    for lane in 0..N {
        refused[lane] |= needs_a_closer_look(each[lane], next[lane]);
    }
}

/// 1 for a byte that is not plain, or is a dot before a dot. Comparisons and no table, so that the
/// compiler looks at many bytes at once.
fn needs_a_closer_look(byte: u8, next: u8) -> u8 {
    u8::from(!(b' '..=b'~').contains(&byte))
        | u8::from(byte == b'/')
        | u8::from(byte == b';')
        | (u8::from(byte == b'.') & u8::from(next == b'.'))
}

/// Whether `fold` would leave the name as it is.
pub(super) fn is_folded(name: &str) -> bool {
    !name.starts_with('~') && !name.contains('/') && name.split('.').all(|part| !part.is_empty())
}

/// Appends an untagged name with `/` as `.`, empty components left out, and no `~` in front. Python
/// strips a `~` only from the start of the name as sent; here also behind leading dots, so that
/// a folded name stays as it is when it comes again.
pub(super) fn fold(name: &str, folded: &mut String) {
    let name = name.trim_start_matches(['~', '.', '/']);
    for part in name.split(['.', '/']).filter(|part| !part.is_empty()) {
        if !folded.is_empty() {
            folded.push('.');
        }
        folded.push_str(part);
    }
}

/// Checks that every component of a folded name fits into a directory and is not reserved.
pub(super) fn check_components(name: &str) -> Result<(), NameError> {
    let (directories, file) = match name.rsplit_once('.') {
        Some((directories, file)) => (Some(directories), file),
        None => (None, name),
    };
    let bounded = |part: &str, allowed: usize| {
        let found = part.len();
        if found > allowed {
            return Err(NameError::ComponentTooLong { found, allowed });
        }
        Ok(())
    };
    let mut parts = directories
        .into_iter()
        .flat_map(|directories| directories.split('.'));
    if name.split('.').next() == Some(TAGGED_DIRECTORY) {
        return Err(NameError::ReservedTagged);
    }
    parts.try_for_each(|part| bounded(part, PATH_COMPONENT_BYTES_MAX))?;
    bounded(file, LAST_COMPONENT_BYTES_MAX)
}

/// The file of a folded name.
pub(super) fn untagged(name: &str) -> String {
    assert!(is_folded(name), "'{name}' is not folded");
    let mut path = String::with_capacity(name.len() + FILE_SUFFIX.len());
    let mut parts = name.split('.');
    path.extend(parts.next());
    for part in parts {
        path.push('/');
        path.push_str(part);
    }
    path.push_str(FILE_SUFFIX);
    path
}

/// The file of a tagged name.
pub(super) fn tagged(name: &str, leaf: TaggedLeaf) -> String {
    let hash = hex(&Sha256::digest(name.as_bytes()));
    let readable = match leaf {
        TaggedLeaf::Hashed => None,
        TaggedLeaf::Readable => readable_leaf(name),
    };
    let file = readable.as_deref().unwrap_or(&hash);
    format!(
        "{TAGGED_DIRECTORY}/{}/{}/{file}{FILE_SUFFIX}",
        &hash[..3],
        &hash[3..6]
    )
}

/// The readable file name of a tagged metric, without its suffix, if it is a safe one.
pub(super) fn readable_leaf(name: &str) -> Option<String> {
    if name.contains('/') {
        return None;
    }
    let leaf = name.replace('.', DOT);
    (leaf.len() <= LAST_COMPONENT_BYTES_MAX).then_some(leaf)
}

fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16);
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(digit)
        .collect()
}
