//! Lines of a stream, offered to the shard one by one. This is the hottest loop of the server: what
//! comes as usual is read by foresight, without looking for where anything ends.

use benzene_engine::shard::{Guesses, Trail};

use super::connection::{Input, Means, Progress};
use super::intake::Taken;
use crate::wire::Stamp;
use crate::wire::line::{self, Splitter};
use crate::wire::window::Window;

/// Reads lines until the bytes are used up or a point finds no room.
pub(super) fn work(
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
            guessed_to = *at + guesses.reach();
        }
        if let Some(known) = guesses.next()
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
            Some(Err(refusal)) => means.intake.refuse(refusal, means.shard),
        };
        match taken {
            Taken::Done => means.fed = true,
            Taken::Refused => {}
            Taken::NoRoom => {
                splitter.put_back(at);
                return Progress::Stalled;
            }
        }
    }
}
