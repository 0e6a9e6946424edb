//! The Whisper file format, pure: bytes and numbers in, bytes and numbers out.
