//! The Whisper file format, pure: bytes and numbers in, bytes and numbers out. No file, no clock.
//! `Header` is what a file's start says, `plan` turns points and what was read of a file into what
//! is to be written, `fetch` answers a query from a file. The byte map is docs/formats/whisper.md.
//! Invariant: the bytes written are those that Python's `whisper.update_many` would leave behind,
//! but for the differences listed in docs/formats/whisper.md.
//! On failure: a typed error a room; a foreign file never makes this code panic.

mod aggregate;
mod archive;
pub mod codec;
mod create;
mod fetch;
mod header;
mod image;
mod kept;
mod late;
mod plan;

pub use aggregate::Aggregation;
pub use archive::{Archive, archive_points};
pub use create::{LayoutError, Retention};
pub use fetch::{FetchAnswer, FetchError, FetchPlan, FetchRequest, Series, fetch};
pub use header::{HEAD_READ_BYTES, Header, HeaderError};
pub use image::{Bases, Image};
pub use kept::{Kept, kept};
pub use late::{Late, again, late};
pub use plan::{
    NEED_ROUNDS_MAX, Outcome, Plan, PlanError, Planner, check, merge, plan, window_bytes, witness,
};
