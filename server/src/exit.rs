//! How `benzene` ends: every exit code, what it means, and what to do about it.
//! 0, 1 and 2 mean what they mean for Python carbon's scripts: done; not done, or for `status` not
//! running; wrong command line. A `start` that finds a live process with its pid file ends with 1,
//! as in Python. The others name what an operator or a unit file may want to tell apart.
//! Invariant: a number, once given, keeps its meaning; new reasons get new numbers.

use std::process::{ExitCode, Termination};

/// Declares the codes once: number, name, one line for `benzene --help`.
macro_rules! exits {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal => $line:literal,)+) => {
        /// Why the process ended. See the variants for what to do.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Exit { $($(#[doc = $doc])+ $name = $code,)+ }

        impl Exit {
            /// Every way to end, by number.
            pub const ALL: &[Exit] = &[$(Exit::$name,)+];

            /// The number that the shell sees.
            pub const fn code(self) -> u8 {
                match self { $(Exit::$name => $code,)+ }
            }

            /// One line for the help text.
            pub const fn meaning(self) -> &'static str {
                match self { $(Exit::$name => $line,)+ }
            }
        }
    };
}

exits! {
    /// Everything was done; a daemon was stopped and owes nothing.
    Success = 0 => "done; a stopped daemon owes nothing",
    /// Anything without a number of its own. Also, as in Python: started while already running, or
    /// asked for the status of a daemon that does not run.
    Failure = 1 => "failed, already running, or (status) not running",
    /// The command line cannot be understood. Nothing was started.
    Usage = 2 => "wrong command line",
    /// A configuration file is missing or wrong; the message names file, line, key and mend.
    /// Nothing was started, and starting again without a change fails again.
    Config = 3 => "a configuration file is missing or wrong",
    /// An address is taken. Often the Python daemon still runs; starting again may succeed.
    PortInUse = 4 => "a port is in use by another process",
    /// io_uring was asked for and this kernel or container forbids it.
    RingUnavailable = 5 => "io_uring was asked for and is not to be had",
    /// The data directory is missing, not a directory, or not writable by this user.
    DataDirectory = 6 => "the data directory cannot be used",
    /// The daemon stopped, but points that it had accepted are in no file; the log says how many, and
    /// how many the journal keeps for the next start, because a stop that was to write everything out
    /// could not write their files.
    PointsLost = 7 => "stopped, and points that were accepted are in no file",
    /// The journal cannot be used: in use by another process, of a newer version, or its directory
    /// cannot be written, and nothing was started. Or its disk failed while the daemon ran, and
    /// JOURNAL_ON_ERROR is stop: then everything was written out.
    Journal = 8 => "the journal cannot be used",
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        self.into()
    }
}

/// The codes as a section of the help text.
pub fn help_section() -> String {
    let lines = Exit::ALL
        .iter()
        .map(|exit| format!("  {}  {}\n", exit.code(), exit.meaning()));
    std::iter::once("Exit codes:\n".to_owned())
        .chain(lines)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_dense_and_pythons_where_python_has_them() {
        let codes: Vec<u8> = Exit::ALL.iter().map(|exit| exit.code()).collect();
        let dense: Vec<u8> = (0..u8::try_from(codes.len()).unwrap()).collect();
        assert_eq!(codes, dense, "codes stand in order and none is given twice");
        assert_eq!(Exit::Success.code(), 0);
        assert_eq!(
            Exit::Failure.code(),
            1,
            "live pid, and status of a stopped daemon"
        );
        assert_eq!(Exit::Usage.code(), 2, "as clap and optparse");
    }

    #[test]
    fn the_help_names_every_code() {
        let help = help_section();
        for exit in Exit::ALL {
            assert!(
                help.contains(exit.meaning()),
                "{exit:?} is missing from {help}"
            );
        }
    }
}
