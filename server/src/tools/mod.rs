//! The subcommands beside the daemon.
//! They are ordinary programs: no shard, ordinary libraries; only the doctor makes rings, to see
//! whether they can be made.

pub mod check_config;
pub mod doctor;
pub mod import_config;
pub mod journal;
pub mod query;
pub mod shadow;
pub mod stop;
pub mod tune;
mod whisper_files;
mod work_dir;
