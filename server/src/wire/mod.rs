//! Pure, bounded codecs: line, pickle, cache query.
