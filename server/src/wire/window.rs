//! Received bytes, and how much of them is known to be UTF-8. Checking text a few kilobytes at a
//! time costs a tenth of checking each name by itself, and a checked text is cut without a look.
//! The check runs ahead of the reader, `CHECKED_AHEAD_BYTES` at least, so that a usual line lies
//! whole in what is checked. It never refuses anything: where it ends, the reader takes the exact
//! way, and the check goes on behind that line.
//! Each byte is checked once, but for those of a line or less at the end of each stretch.

use benzene_engine::limits::LINE_BYTES_MAX;

/// How much is checked at once: it stays in the first-level cache until it is read.
const STRETCH_BYTES: usize = 8 << 10;
/// How much lies checked before the reader, where there is so much: many usual lines.
const CHECKED_AHEAD_BYTES: usize = 512;
// So that a line that lies whole in a stretch is never a line that is too long.
const _: () = assert!(CHECKED_AHEAD_BYTES < STRETCH_BYTES && STRETCH_BYTES <= LINE_BYTES_MAX);

/// Bytes to read from, in order.
#[derive(Clone, Debug)]
pub struct Window<'i> {
    bytes: &'i [u8],
    /// The stretch that was checked last, as far as it is text.
    text: &'i str,
    /// Where it begins.
    start: usize,
    /// From here on the next stretch is to be checked.
    stale_from: usize,
}

impl<'i> Window<'i> {
    /// Looks at nothing yet.
    pub fn new(bytes: &'i [u8]) -> Self {
        Self {
            bytes,
            text: "",
            start: 0,
            stale_from: 0,
        }
    }

    /// All bytes, checked or not.
    pub fn bytes(&self) -> &'i [u8] {
        self.bytes
    }

    /// What is known to be text from `at` on: not all of it, and nothing where `at` is not the
    /// start of a character.
    #[inline]
    pub(super) fn text_from(&mut self, at: usize) -> &'i str {
        if at >= self.stale_from || at < self.start {
            self.check(at);
        }
        self.text.get(at - self.start..).unwrap_or_default()
    }

    #[cold]
    fn check(&mut self, at: usize) {
        let rest = &self.bytes[at..];
        let stretch = &rest[..rest.len().min(STRETCH_BYTES)];
        let valid = match std::str::from_utf8(stretch) {
            Ok(text) => text,
            // Valid up to there, so the second check cannot fail.
            Err(error) => str::from_utf8(&stretch[..error.valid_up_to()]).unwrap_or_default(),
        };
        (self.text, self.start) = (valid, at);
        let end = at + valid.len();
        self.stale_from = match rest.get(valid.len()) {
            // All is checked.
            None => self.bytes.len() + 1,
            // The next stretch begins before this one is used up.
            Some(_) if valid.len() + CHAR_BYTES_MAX > STRETCH_BYTES => end - CHECKED_AHEAD_BYTES,
            // No text goes on here. Behind the line there may be more.
            Some(_) => end + 1,
        };
    }
}

/// Longest character: a stretch that is shorter by less may have cut one.
const CHAR_BYTES_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_goes_on_behind_what_is_none() {
        let bytes = [b"abc\xff".as_slice(), "\u{e9}def".as_bytes(), b"\xc3"].concat();
        let mut window = Window::new(&bytes);
        for (at, text) in [
            (0, "abc"),
            (2, "c"),
            (3, ""),
            (4, "\u{e9}def"),
            (5, ""),
            (6, "def"),
            (9, ""),
            (10, ""),
            (1, "bc"),
        ] {
            assert_eq!(window.text_from(at), text, "at {at}");
        }
        assert_eq!(Window::new(b"").text_from(0), "");
    }

    proptest! {
        #[test]
        fn text_is_what_the_bytes_are(
            pieces in prop::collection::vec(
                prop_oneof![
                    20 => "[ -~]{0,900}".prop_map(String::into_bytes),
                    5 => "\\PC{0,300}".prop_map(String::into_bytes),
                    1 => prop::collection::vec(any::<u8>(), 0..4),
                ],
                0..60,
            ),
            steps in prop::collection::vec(0usize..700, 1..60),
        ) {
            let bytes = pieces.concat();
            let mut window = Window::new(&bytes);
            let mut at = 0;
            for step in steps {
                at = (at + step).min(bytes.len());
                let text = window.text_from(at);
                prop_assert_eq!(&bytes[at..at + text.len()], text.as_bytes());
                let valid = match str::from_utf8(&bytes[at..]) {
                    Ok(text) => text.len(),
                    Err(error) => error.valid_up_to(),
                };
                // Within a character of the whole, or enough to read on.
                prop_assert!(text.len() == valid || text.len() >= CHECKED_AHEAD_BYTES);
            }
        }
    }
}
