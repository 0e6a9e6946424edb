//! What `benzene shadow` was told on the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::cli::Listen;

const EXAMPLES: &str = "\
Examples:
  benzene shadow --config /opt/graphite/conf/carbon.conf --for 1h
      look an hour later what this machine would have stored, and at what cost. A carbon-relay with
      RELAY_METHOD = rules sends the copy that has 127.0.0.1:12004 in DESTINATIONS, and beside the old
      destination in a rule of relay-rules.conf. With consistent hashing a new destination would take
      metrics away from where they are stored: put a second relay in front, whose rule names the old
      relay and the shadow. carbon-c-relay gets a second cluster and `match`. Take the destination out
      of the relay before the time is over: Python's fills a queue for one that is gone, and then pauses
      all its receivers
  benzene shadow --config carbon.conf --instance b --for 10m --line 10.0.0.7:12003 --scratch /mnt/ssd/shadow
Ends with 0 where nothing contradicts that both have stored the same, and with 1 where something does.
";

/// What `benzene shadow` was told on the command line.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES, after_long_help = EXAMPLES)]
pub struct ShadowOptions {
    /// carbon.conf of the daemon that runs; where its files lie, and by which schemas they are made
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Which `[cache:NAME]` section changes what `[cache]` says
    #[arg(long, value_name = "NAME", default_value = crate::config::INSTANCE_DEFAULT)]
    pub instance: String,
    /// How long: a number with s, m, h or d behind it. SIGINT, SIGTERM and SIGHUP end it
    /// sooner
    #[arg(long = "for", value_name = "TIME", default_value = "1h", value_parser = span)]
    pub time: Duration,
    /// Where the copy of the stream is received as lines: `[HOST:]PORT`, or off
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:12003")]
    pub line: Listen,
    /// Where it is received as pickles, which a relay of Python carbon sends: `[HOST:]PORT`, or off
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:12004")]
    pub pickle: Listen,
    /// Below which directory the files of the shadow go; they go away in the end [default: /var/tmp]
    #[arg(long, value_name = "DIRECTORY")]
    pub scratch: Option<PathBuf>,
    /// Start also where the files of all metrics that are written to would not fit
    #[arg(long)]
    pub ignore_room: bool,
    /// Leave the files of the shadow, in a directory that ends in kept-UNIXTIME
    #[arg(long)]
    pub keep: bool,
    /// Process of the daemon that runs, once for each of several; what it uses is set beside what the
    /// shadow uses
    #[arg(long = "pid", value_name = "PID")]
    pub processes: Vec<u32>,
    /// How many examples of each kind are shown
    #[arg(long, default_value_t = 10)]
    pub examples: usize,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

/// Reads `90s`, `10m`, `1h` or `2d`.
fn span(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no time; write a number with s, m, h or d, such as 30m");
    let split = text.len().saturating_sub(1);
    let (number, unit) = text.split_at_checked(split).ok_or_else(wrong)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_not_a_number| wrong())?;
    match number.checked_mul(seconds) {
        Some(seconds @ 1..) => Ok(Duration::from_secs(seconds)),
        Some(0) | None => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        for (text, seconds) in [
            ("1s", 1),
            ("90s", 90),
            ("10m", 600),
            ("1h", 3600),
            ("2d", 172_800),
        ] {
            assert_eq!(span(text), Ok(Duration::from_secs(seconds)));
        }
        for wrong in [
            "",
            "s",
            "0m",
            "1",
            "-1h",
            "1.5h",
            "1w",
            "1\u{e9}",
            "99999999999999999999d",
        ] {
            assert!(span(wrong).unwrap_err().contains("such as 30m"), "{wrong}");
        }
    }
}
