//! The line protocol of a connection, plain or compressed, and its lines, offered to the shard one by
//! one (`work`). That is the hottest loop of the server: what comes as usual is read by foresight,
//! without looking for where anything ends.
//! Whether a stream is compressed, its first two bytes say; no line begins with them. A compressed one
//! is unpacked as far as its lines find room and time: what is not unpacked yet waits as compressed
//! bytes, with the connection, and nothing is lost.
//! A stream that is broken is counted and ends its connection, once the good lines before are taken.

use benzene_engine::limits::GZIP_STREAM_BYTES;
use benzene_engine::shard::{Guesses, Trail};

use super::connection::{Input, Means, Progress};
use super::intake::Taken;
use crate::wire::gzip::{Gunzip, MAGIC};
use crate::wire::line::{self, Splitter};
use crate::wire::window::Window;
use crate::wire::{Refusal, Stamp};

/// What is kept between two receives.
#[derive(Debug, Default)]
pub(super) struct Lines {
    form: Form,
    splitter: Splitter,
}

/// How the lines come.
#[derive(Debug, Default)]
enum Form {
    /// Nothing has come.
    #[default]
    Unknown,
    /// The first byte is the first of `MAGIC`; it is not in the splitter yet.
    Begun,
    Plain,
    Packed(Box<Packed>),
}

/// A compressed stream.
#[derive(Debug, Default)]
struct Packed {
    gunzip: Gunzip,
    /// How far the lines that it has unpacked were worked on.
    at: usize,
}

impl Lines {
    /// Works on the bytes at hand, and before them on what is unpacked already.
    pub(super) fn work(
        &mut self,
        trail: &mut Trail,
        input: Input<'_>,
        means: &mut Means<'_>,
    ) -> Progress {
        if let Form::Unknown | Form::Begun = self.form {
            self.tell_form(input.bytes, input.at);
        }
        match &mut self.form {
            Form::Plain => work(&mut self.splitter, trail, input, means),
            Form::Packed(packed) => packed.work(&mut self.splitter, trail, input, means),
            Form::Unknown | Form::Begun => Progress::Done,
        }
    }

    /// Looks at the first bytes.
    fn tell_form(&mut self, bytes: &[u8], at: &mut usize) {
        let has_begun = matches!(self.form, Form::Begun);
        match (has_begun, &bytes[*at..]) {
            (_, []) => {}
            (false, [first]) if *first == MAGIC[0] => {
                *at += 1;
                self.form = Form::Begun;
            }
            (false, rest) if !rest.starts_with(&MAGIC) => self.form = Form::Plain,
            (true, rest) if rest[0] != MAGIC[1] => self.begin_plain(),
            (_, _) => {
                let mut packed = Box::<Packed>::default();
                if has_begun {
                    packed.gunzip.read(&MAGIC[..1], &mut 0, 1);
                }
                self.form = Form::Packed(packed);
            }
        }
    }

    /// The first byte was that of a line after all.
    fn begin_plain(&mut self) {
        self.form = Form::Plain;
        let line = self.splitter.next(&MAGIC[..1], &mut 0);
        assert!(line.is_none(), "a byte that ends no line ends {line:?}");
    }

    /// Ends the stream: whether it was cut off inside a line.
    pub(super) fn finish(&mut self) -> Result<(), Refusal> {
        if let Form::Begun = self.form {
            self.begin_plain();
        }
        if let Form::Packed(packed) = &self.form
            && packed.gunzip.is_in_header()
        {
            return Err(Refusal::Unfinished);
        }
        self.splitter.finish()
    }

    /// Bytes of memory held for a line that is unfinished.
    pub(super) fn pending_bytes(&self) -> usize {
        self.splitter.pending_bytes()
    }

    /// Bytes of memory held for unpacking, from the first byte of a compressed stream to its end.
    pub(super) fn unpacker_bytes(&self) -> usize {
        match self.form {
            Form::Packed(_) => GZIP_STREAM_BYTES,
            Form::Unknown | Form::Begun | Form::Plain => 0,
        }
    }
}

impl Packed {
    fn work(
        &mut self,
        splitter: &mut Splitter,
        trail: &mut Trail,
        input: Input<'_>,
        means: &mut Means<'_>,
    ) -> Progress {
        let Input { bytes, at } = input;
        loop {
            let unpacked = self.gunzip.plain();
            // A line that found no room may be all that is left.
            if self.at < unpacked.len() || splitter.has_put_back() {
                let lines = Input {
                    bytes: unpacked,
                    at: &mut self.at,
                };
                let progress = work(splitter, trail, lines, means);
                if !matches!(progress, Progress::Done) {
                    return progress;
                }
            }
            if let Some(error) = self.gunzip.error() {
                means.shard.count(error.counter(), 1);
                *at = bytes.len();
                return Progress::Broken;
            }
            if *at == bytes.len() && !self.gunzip.has_more() {
                return Progress::Done;
            }
            if means.allowance == 0 {
                return Progress::Paused;
            }
            let cost = self.gunzip.read(bytes, at, means.allowance);
            means.allowance = means.allowance.saturating_sub(cost);
            self.at = 0;
        }
    }
}

/// Reads lines until the bytes are used up or a point finds no room.
fn work(
    splitter: &mut Splitter,
    trail: &mut Trail,
    input: Input<'_>,
    means: &mut Means<'_>,
) -> Progress {
    let Input { bytes, at } = input;
    let mut window = Window::new(bytes);
    let mut clock = line::Clock::default();
    let (mut guesses, mut guessed_to) = (Guesses::NONE, *at);
    loop {
        // The usual line of the metric that came next the last time, read without looking for
        // where its name ends.
        let from = *at;
        while splitter.is_between_lines()
            && let Some((known, name)) = means.shard.foresee(*trail)
            && let Some((value, seconds, length)) = line::known(&bytes[*at..], name, &mut clock)
        {
            let point = (known, Stamp::At(seconds), value);
            if means.intake.known(trail, point, means.shard) == Taken::NoRoom {
                means.fed |= *at > from;
                return Progress::Stalled;
            }
            *at += length;
        }
        means.fed |= *at > from;
        // The same of a metric that was looked for together with others.
        if trail.is_lost() && *at >= guessed_to {
            guesses = means.shard.guess(line::names(&bytes[*at..]));
            // Where no name is in sight, none is looked for at the next line either.
            guessed_to = match guesses.reach() {
                0 => bytes.len(),
                reach => *at + reach,
            };
        }
        if let Some(known) = means.shard.next_guess(&mut guesses)
            && splitter.is_between_lines()
            && let name = means.shard.name_of(known)
            && !name.is_empty()
            // Beyond ASCII there is whitespace that a pickle's name can have, and a line's cannot.
            && name.is_ascii()
            && let Some((value, seconds, length)) = line::known(&bytes[*at..], name, &mut clock)
        {
            let point = (known, Stamp::At(seconds), value);
            if means.intake.guessed(trail, point, means.shard) == Taken::NoRoom {
                return Progress::Stalled;
            }
            means.fed = true;
            *at += length;
            continue;
        }
        let taken = match splitter.next_item(&mut window, at) {
            None => return Progress::Done,
            Some(Ok(item)) => means.intake.item(trail, &item, means.shard),
            Some(Err(refusal)) => {
                let line = splitter.last_line(bytes);
                means.refused.line(refusal, line);
                means.intake.refuse(refusal, means.shard)
            }
        };
        match taken {
            Taken::Done => means.fed = true,
            Taken::Refused => {}
            Taken::BadName => means.refused.named_badly(splitter.last_line(bytes)),
            Taken::NoRoom => {
                splitter.put_back(at);
                return Progress::Stalled;
            }
            Taken::Unjudged => {
                splitter.put_back(at);
                return Progress::Unjudged;
            }
        }
    }
}
