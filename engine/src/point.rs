//! A datapoint: what every room hands to the next.

/// One value of a metric at one second. Timestamps are whole seconds since the Unix epoch, as
/// Whisper stores them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Seconds since the Unix epoch.
    pub timestamp: u32,
    /// The value as received; never NaN when it came from a receiver.
    pub value: f64,
}
