//! What senders sent and was refused, for listener.log: of each reason and kind of receiver the first,
//! then one a minute with how many there were between (`engine::quiet`). So a sender that sends nothing
//! but garbage is some lines a minute on each core, however fast it sends.
//! Counting is not done here, and nothing at all where nobody writes log files. What is quoted is cut
//! after `limits::REFUSED_CHARS_SAID_MAX` characters and holds none that a terminal obeys.

use std::collections::VecDeque;
use std::time::Instant;

use benzene_engine::limits::REFUSED_CHARS_SAID_MAX;
use benzene_engine::quiet::Quiet;
use benzene_engine::ring::SocketId;
use benzene_engine::stats::Counter;

use crate::config::Service;
use crate::wire::Refusal;

/// What was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Garbage {
    /// A line.
    Line(String),
    /// A pickle, and what is wrong with it.
    Pickle(String),
    /// An item of a pickle.
    Item,
    /// A protobuf payload.
    Protobuf,
    /// The name of an item of either.
    Name(String),
}

/// What is to be said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    /// Through what it came.
    pub(crate) socket: SocketId,
    pub(crate) service: Service,
    pub(crate) garbage: Garbage,
    /// The reason under which it is counted.
    pub(crate) reason: &'static str,
    /// How many were kept quiet since the last of its kind and reason.
    pub(crate) more: u64,
}

/// What was refused on one core.
#[derive(Debug, Default)]
pub(super) struct Refused {
    /// Whether `next` is asked.
    is_told: bool,
    /// Whose bytes are worked on, and when; none before the first.
    at: Option<(SocketId, Service, Instant)>,
    /// There are few kinds and few reasons.
    quiet: Vec<((Service, Counter), Quiet)>,
    said: VecDeque<Said>,
}

impl Refused {
    pub(super) fn new(is_told: bool) -> Self {
        Self {
            is_told,
            ..Self::default()
        }
    }

    /// What is refused from now on came through this socket.
    pub(super) fn begin(&mut self, socket: SocketId, service: Service, now: Instant) {
        self.at = Some((socket, service, now));
    }

    /// Notes a line, where Python too says that it refuses it.
    pub(super) fn line(&mut self, refusal: Refusal, line: &[u8]) {
        match refusal {
            // Python passes over these in silence.
            Refusal::Nan | Refusal::Unfinished => {}
            Refusal::LineLength => self.note(refusal.counter(), || {
                Garbage::Line("a line that is too long".to_owned())
            }),
            Refusal::Fields
            | Refusal::Value
            | Refusal::Timestamp
            | Refusal::Utf8
            | Refusal::Item => self.note(refusal.counter(), || Garbage::Line(quoted(line))),
        }
    }

    /// Notes a line with a name that no metric can have.
    pub(super) fn named_badly(&mut self, line: &[u8]) {
        self.note(Counter::RefusedName, || Garbage::Line(quoted(line)));
    }

    /// Notes something that was refused.
    pub(super) fn note(&mut self, reason: Counter, garbage: impl FnOnce() -> Garbage) {
        let Some((socket, service, now)) = self.at.filter(|_| self.is_told) else {
            return;
        };
        let key = (service, reason);
        let known = self.quiet.iter().position(|(known, _)| *known == key);
        let index = known.unwrap_or_else(|| {
            self.quiet.push((key, Quiet::default()));
            self.quiet.len() - 1
        });
        if let Some(more) = self.quiet[index].1.due(now) {
            self.said.push_back(Said {
                socket,
                service,
                garbage: garbage(),
                reason: reason.label(),
                more,
            });
        }
    }

    /// The next that is to be said.
    pub(super) fn next(&mut self) -> Option<Said> {
        self.said.pop_front()
    }
}

/// Bytes of a sender's as Python's repr() shows a text, without its quotes, and cut.
pub(super) fn quoted(bytes: &[u8]) -> String {
    let mut text = String::new();
    let mut left = REFUSED_CHARS_SAID_MAX;
    let bytes = bytes.trim_ascii();
    for chunk in bytes.utf8_chunks() {
        let broken = chunk.invalid().iter().map(|byte| (u32::from(*byte), None));
        let sound = chunk.valid().chars();
        for (number, letter) in sound
            .map(|letter| (letter.into(), Some(letter)))
            .chain(broken)
        {
            if left == 0 {
                return text + "...";
            }
            left -= 1;
            push(&mut text, number, letter);
        }
    }
    text
}

/// A letter, or a byte that is part of none.
fn push(text: &mut String, number: u32, letter: Option<char>) {
    match letter {
        Some('\\') => text.push_str("\\\\"),
        Some('\n') => text.push_str("\\n"),
        Some('\r') => text.push_str("\\r"),
        Some('\t') => text.push_str("\\t"),
        Some(letter) if is_shown(letter) => text.push(letter),
        Some(_) | None => {
            let code = match number {
                0..=0xff => format!("\\x{number:02x}"),
                0x100..=0xffff => format!("\\u{number:04x}"),
                _ => format!("\\U{number:08x}"),
            };
            text.push_str(&code);
        }
    }
}

/// Whether a letter can be printed as it is; spaces other than the usual one, and what turns the
/// direction of a text, cannot.
fn is_shown(letter: char) -> bool {
    let is_quote = ['\'', '"'].contains(&letter);
    is_quote || letter.escape_debug().len() == 1
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use benzene_engine::clock;
    use benzene_engine::quiet::QUIET;
    use benzene_engine::ring::{Driver, Ring, RingConfig};

    use super::*;

    #[test]
    fn what_is_quoted_is_as_pythons_and_obeyed_by_nobody() {
        for (bytes, want) in [
            (&b"a.b 1 2 3\r"[..], "a.b 1 2 3"),
            (
                "gr\u{fc}\u{df}e 'x' \"y\"".as_bytes(),
                "gr\u{fc}\u{df}e 'x' \"y\"",
            ),
            (b"a\tb\\c\x00\x1b[2J", "a\\tb\\\\c\\x00\\x1b[2J"),
            (
                "a\u{a0}\u{85}\u{202e}\u{2028}\u{e0001}".as_bytes(),
                "a\\xa0\\x85\\u202e\\u2028\\U000e0001",
            ),
            (b"\xff\xfea\xc3", "\\xff\\xfea\\xc3"),
            (b"  \t ", ""),
        ] {
            assert_eq!(quoted(bytes), want, "{bytes:?}");
        }
        let long = quoted(&b"\x01".repeat(16_384));
        assert_eq!(long.len(), REFUSED_CHARS_SAID_MAX * 4 + 3);
        assert!(long.ends_with("\\x01..."));
        let fits = "x".repeat(REFUSED_CHARS_SAID_MAX);
        assert_eq!(quoted(fits.as_bytes()), fits);
    }

    #[test]
    fn a_flood_is_one_a_minute_for_each_reason_with_a_count() {
        let mut ring = Ring::new(RingConfig {
            driver: Driver::PollSync,
            file_threads: 1,
            ..RingConfig::default()
        })
        .unwrap();
        let (ours, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let socket = ring.adopt(ours.into());
        let now = clock::now().instant;
        let mut refused = Refused::new(true);
        let drained = |refused: &mut Refused| {
            let said: Vec<Said> = std::iter::from_fn(|| refused.next()).collect();
            said.into_iter()
                .map(|said| (said.garbage, said.more))
                .collect::<Vec<_>>()
        };
        let line = |text: &str| Garbage::Line(text.to_owned());
        refused.begin(socket, Service::Line, now);
        for number in 0..1_000_u32 {
            refused.line(Refusal::Fields, format!("garbage {number}").as_bytes());
            refused.line(Refusal::Value, b"a b 1");
            refused.line(Refusal::Nan, b"a nan 1");
        }
        assert_eq!(
            drained(&mut refused),
            [(line("garbage 0"), 0), (line("a b 1"), 0)]
        );
        // Another kind of receiver is not kept quiet by this one.
        refused.begin(socket, Service::Datagram, now + Duration::from_secs(1));
        refused.line(Refusal::Fields, b"by udp");
        assert_eq!(drained(&mut refused), [(line("by udp"), 0)]);
        refused.begin(socket, Service::Line, now + QUIET);
        refused.line(Refusal::Fields, b"again");
        assert_eq!(drained(&mut refused), [(line("again"), 999)]);
        let mut nobody = Refused::new(false);
        nobody.begin(socket, Service::Line, now);
        nobody.line(Refusal::Fields, b"x");
        assert_eq!(drained(&mut nobody), []);
    }
}
