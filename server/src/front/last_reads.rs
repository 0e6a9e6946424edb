//! The last reads of a stop: each receiver's socket is read until it ends, or nothing has come for a
//! moment. What a sender's own kernel still holds follows when there is room for it here, a round trip
//! later, so that one EAGAIN is no end.
//! Bounded: `limits::LAST_READ_TOTAL_BYTES_MAX` and `LAST_LOOKS_MAX` of each, and where the stop is to be
//! quick `LAST_LOOKS_TOGETHER_MAX` of all together, while there is room to read.

use std::collections::VecDeque;
use std::time::Instant;

use benzene_engine::limits::{LAST_LOOK_EVERY, LAST_LOOKS_TOGETHER_MAX, LAST_READ_BYTES_MAX};
use benzene_engine::ring::{ReceiveNow, SocketId};
use benzene_engine::shard::Shard;

use super::Front;
use super::connection::{Last, LastRead};
use crate::config::Service;

/// Who is to be read for the last time.
#[derive(Debug, Default)]
pub(super) struct LastReads {
    /// Nothing armed and nothing held.
    pub(super) line: VecDeque<SocketId>,
    /// The same of which nothing is to be had just now, and from when on they are looked at again: in
    /// order, as each waits for as long.
    later: VecDeque<(Instant, SocketId)>,
    /// Until when that is done, where it is to end.
    pub(super) until: Option<Instant>,
}

impl Front {
    /// Receivers are read one last time and closed; queries go on. What is not there yet is waited for,
    /// and where the stop is to be quick, for all of them together not for long.
    pub(crate) fn stop(&mut self, is_quick: bool) {
        self.idle = None;
        self.last.until = is_quick.then(|| self.now + LAST_LOOKS_TOGETHER_MAX);
        let receivers: Vec<SocketId> = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.service() != Service::Query)
            .map(|(socket, _)| *socket)
            .collect();
        for socket in receivers {
            self.stop_one(socket, true);
        }
    }

    /// Reads one receiver a last time; `receiving`: the loop receives from it just now.
    pub(crate) fn stop_one(&mut self, socket: SocketId, receiving: bool) {
        let Some(connection) = self.connections.get_mut(&socket) else {
            return;
        };
        // Taken on while the daemon stops, it is in line already.
        if connection.last == Last::Wanted {
            return;
        }
        connection.last = Last::Wanted;
        connection.receiving &= receiving;
        if connection.receiving {
            self.stop_receiving(socket);
        } else if !connection.is_behind() {
            self.last.line.push_back(socket);
        }
    }

    /// When one is to be read, or looked at again: at once, where it stands in line. Where no receiver is
    /// left, all who stand there were closed meanwhile.
    pub(crate) fn next_last_look(&self) -> Option<Instant> {
        if self.receivers == 0 {
            return None;
        }
        let later = self.last.later.front().map(|(at, _)| *at);
        let in_line = (!self.last.line.is_empty()).then_some(self.now);
        in_line.or(later)
    }

    /// Time in which a stop cannot read is none in which it waits for more to come.
    pub(crate) fn put_off_last(&mut self) {
        if let Some(until) = &mut self.last.until {
            *until = (*until).max(self.now + LAST_LOOKS_TOGETHER_MAX);
        }
    }

    /// A socket that is to be read without waiting, and at most how many bytes at once.
    pub(crate) fn next_last_read(&mut self) -> Option<(SocketId, usize)> {
        while let Some((at, socket)) = self.last.later.pop_front() {
            if at > self.now {
                self.last.later.push_front((at, socket));
                break;
            }
            self.last.line.push_back(socket);
        }
        while let Some(socket) = self.last.line.pop_front() {
            if self.connections.contains_key(&socket) {
                return Some((socket, LAST_READ_BYTES_MAX));
            }
        }
        None
    }

    /// What a last read gave.
    pub(crate) fn last_read(
        &mut self,
        socket: SocketId,
        bytes: &[u8],
        outcome: &ReceiveNow,
        shard: &mut Shard,
    ) {
        let Some(connection) = self.connections.get_mut(&socket) else {
            return;
        };
        let has_time = self.last.until.is_none_or(|until| self.now < until);
        match connection.after_last_read(bytes.len(), outcome, self.now, has_time) {
            LastRead::Another => {}
            LastRead::Later => {
                let again = self.now + LAST_LOOK_EVERY;
                return self.last.later.push_back((again, socket));
            }
            LastRead::End => connection.ended = true,
        }
        self.received(socket, bytes, shard);
    }
}
