//! carbon.conf: what was written (low) becomes what is meant (high).
