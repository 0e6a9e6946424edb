//! The ring room: the only unsafe code of the workspace and the only system calls of a shard.

mod operation;

pub use operation::{
    Access, Allocation, ByteRange, FileError, FileOperation, FileOutcome, FileToken, Piece, Stage,
    VisitId,
};
