//! Counters of one shard, with constant labels, and their sum over shards.
//! Plain numbers owned by one thread: no atomics, no locks, no names built at run time. The desk
//! asks each shard for a copy and adds the copies up.
//! Invariant (the accounts): received + own + replayed = committed + cached + superseded + dropped, where
//! dropped is the sum of the `dropped.*` counters and cached is a gauge of the cache.

/// Declares the counters: variant, label, meaning.
macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident => $label:literal,)+) => {
        /// What is counted; see `label` for the name under which it is reported.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Counter { $($(#[doc = $doc])+ $name,)+ }

        impl Counter {
            /// Every counter, in the order of declaration.
            pub const ALL: &[Counter] = &[$(Counter::$name,)+];
            /// The constant label of this counter.
            pub const fn label(self) -> &'static str {
                match self { $(Counter::$name => $label,)+ }
            }
        }
    };
}

counters! {
    /// Points accepted from receivers.
    Received => "received",
    /// Points of our own metrics, put into the cache like received ones.
    Own => "own",
    /// Points of an earlier run that came back from the journal.
    Replayed => "replayed",
    /// Points written into files.
    Committed => "committed",
    /// Points replaced by a later one of the same metric and second.
    Superseded => "superseded",
    /// Points dropped because the cache was full and the sender could not be stopped.
    DroppedCacheFull => "dropped.cacheFull",
    /// Points dropped because their metric waits for its create and that share is full.
    DroppedCreateWait => "dropped.createWait",
    /// Points dropped because their file is parked and that share is full.
    DroppedParked => "dropped.parked",
    /// Points older than every archive of their file.
    DroppedTooOld => "dropped.tooOld",
    /// Points of metrics that could not be written, dropped because they took more of the journal than
    /// their share.
    DroppedJournalFull => "dropped.journalFull",
    /// Points that could not be written before the stop was cut short.
    DroppedAtStop => "dropped.atStop",
    /// Updates carried out: one file, all its waiting points.
    Updates => "updates",
    /// Updates whose oldest point had been held for longer than MAX_POINT_AGE allows.
    LateUpdates => "lateUpdates",
    /// Updates of metrics that the write order had passed over for longer than MAX_POINT_AGE.
    StarvedUpdates => "starvedUpdates",
    /// Points written a second time, because their file was replaced right after they were written.
    WrittenAgain => "writtenAgain",
    /// Files made.
    Creates => "creates",
    /// Updates and creates that failed; each is retried.
    Errors => "errors",
    /// Of `errors`: no space left (ENOSPC).
    ErrorsNoSpace => "errors.noSpace",
    /// Of `errors`: a quota is used up (EDQUOT).
    ErrorsQuota => "errors.quota",
    /// Of `errors`: the device failed (EIO).
    ErrorsIo => "errors.io",
    /// Of `errors`: no descriptor was left (EMFILE, ENFILE).
    ErrorsDescriptors => "errors.descriptors",
    /// Of `errors`: this user may not (EACCES, EPERM).
    ErrorsAccess => "errors.access",
    /// Of `errors`: the name is too long for the file system (ENAMETOOLONG).
    ErrorsNameTooLong => "errors.nameTooLong",
    /// Of `errors`: the file system is read-only (EROFS).
    ErrorsReadOnly => "errors.readOnly",
    /// Of `errors`: a directory where the file should be, or a file where a directory should be.
    ErrorsDirectory => "errors.directory",
    /// Of `errors`: the file is empty, cut short, or its header lies.
    ErrorsBroken => "errors.broken",
    /// Of `errors`: the file may be of use to another program, not to us.
    ErrorsForeign => "errors.foreign",
    /// Of `errors`: storage-schemas.conf asks for what Whisper cannot hold.
    ErrorsSchema => "errors.schema",
    /// Of `errors`: a data directory that has the file, or may have it, cannot be asked.
    ErrorsAway => "errors.away",
    /// Of `errors`: anything else.
    ErrorsOther => "errors.other",
    /// Broken files that got another name, so that theirs was free for a new one.
    SetAside => "setAside",
    /// Files of tagged series that were there under their readable name and got their hashed one.
    TagFilesRenamed => "tags.filesRenamed",
    /// New tagged series whose tags graphite-web could not read: not announced.
    TagsUnsound => "tags.unsound",
    /// Announcements of new series that found the queue full: they come again with the series' next
    /// update.
    TagsDeferred => "tags.deferred",
    /// Repeated announcements of known series that were dropped because the queue was full.
    TagsDropped => "tags.droppedUpdates",
    /// Series announced to graphite-web, which has taken them.
    TagsPosted => "tags.posted",
    /// Posts that graphite-web did not take; what was in them is posted again.
    TagsFailed => "tags.failed",
    /// Series that graphite-web refused three times while it took others: given up.
    TagsRefused => "tags.refused",
    /// Points of our own metrics that were sent to other carbons (RELAY_CACHE_METRICS).
    RelaySent => "relay.sent",
    /// Points of our own metrics that a destination's queue had no room for.
    RelayDropped => "relay.dropped",
    /// Looks that found a second file of a metric, in another data directory than the one it is written
    /// to; one update in 64 looks.
    SecondFiles => "secondFiles",
    /// Microseconds spent in updates, from open to close.
    UpdateMicros => "updateMicros",
    /// Lines and items without exactly three fields.
    RefusedFields => "refused.fields",
    /// Names that cannot be a metric.
    RefusedName => "refused.name",
    /// Points whose name is on the blacklist.
    RefusedBlacklist => "refused.blacklist",
    /// Points whose name is on no whitelist, where there is one.
    RefusedWhitelist => "refused.whitelist",
    /// Names at which a pattern of the lists reached its bound on backtracking.
    ListGaveUp => "lists.gaveUp",
    /// Values that are no number.
    RefusedValue => "refused.value",
    /// Values that are NaN, which Python carbon drops too.
    RefusedNan => "refused.nan",
    /// Timestamps that are no number or outside what Whisper can store.
    RefusedTimestamp => "refused.timestamp",
    /// Bytes that are not UTF-8.
    RefusedUtf8 => "refused.utf8",
    /// Lines longer than the bound; refused up to their newline.
    RefusedLineLength => "refused.lineLength",
    /// Items of a pickle that are not (metric, (timestamp, value)).
    RefusedItem => "refused.item",
    /// Pickle frames longer than PICKLE_RECEIVER_MAX_LENGTH, protobuf frames longer than a mebibyte;
    /// the connection is closed.
    RefusedFrameLength => "refused.frameLength",
    /// Pickle frames that cannot be decoded.
    RefusedPickle => "refused.pickle",
    /// Protobuf frames that cannot be decoded.
    RefusedProtobuf => "refused.protobuf",
    /// Compressed streams that are broken; the connection is closed.
    RefusedGzip => "refused.gzip",
    /// Lines cut off by the end of their connection.
    RefusedUnfinished => "refused.unfinished",
    /// Cache-query requests that cannot be understood; the connection is closed.
    RefusedQuery => "refused.query",
    /// Connections closed because unfinished input passed its bound for the process.
    ClosedUnfinished => "closed.unfinished",
    /// Connections that were closed because their clients did not read their replies, when those of all
    /// together passed their bound.
    ClosedUnread => "closed.unread",
    /// Receiver connections closed because they sent no point for METRIC_CLIENT_IDLE_TIMEOUT.
    ClosedIdle => "closed.idle",
    /// Datagrams that the kernel dropped because our socket's buffer was full: points that we have
    /// never seen, so that no account has them.
    KernelDrops => "udp.kernelDrops",
    /// Lines for log files that were dropped: more came than the log disk takes, or it is full.
    LoggedDropped => "logged.dropped",
    /// Connections accepted.
    Connections => "connections",
    /// Times that a port stopped accepting, as all places of its kind were taken.
    AcceptPauses => "acceptPauses",
    /// cache-query requests.
    Queries => "queries",
    /// cache-query-bulk requests.
    BulkQueries => "bulkQueries",
    /// Metrics asked for by cache-query-bulk.
    BulkQueryMetrics => "bulkQueryMetrics",
    /// Queries that found points in the cache.
    QueryHits => "queryHits",
    /// Series forgotten under memory pressure, nothing cached and nothing owed.
    Forgotten => "forgotten",
    /// Blocks written to the journal.
    JournalBlocks => "journal.blocks",
    /// Bytes of these blocks.
    JournalBytes => "journal.bytes",
    /// Syncs of the journal's files; `always` syncs with each block.
    JournalSyncs => "journal.syncs",
    /// Names noted in the journal.
    JournalNames => "journal.names",
    /// Points of this run noted in the journal once more: so that their old segment can be used again, or
    /// because the journal had failed.
    JournalCarried => "journal.carried",
    /// Points that were accepted and are not in the journal, because its disk failed.
    JournalMissed => "journal.missed",
    /// Operations on the journal's files that failed.
    JournalErrors => "journal.errors",
    /// Segments that went at the journal's bound although a sync of the data had failed.
    JournalGivenUp => "journal.givenUp",
}

/// The counters of one shard, or a sum of several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stats {
    counts: [u64; Counter::ALL.len()],
}

impl Default for Stats {
    fn default() -> Self {
        Self {
            counts: [0; Counter::ALL.len()],
        }
    }
}

impl Stats {
    /// Adds `amount` to a counter.
    pub fn add(&mut self, counter: Counter, amount: u64) {
        self.counts[counter as usize] += amount;
    }

    /// What a counter stands at.
    pub fn get(&self, counter: Counter) -> u64 {
        self.counts[counter as usize]
    }

    /// Adds every counter of `other`.
    pub fn merge(&mut self, other: &Stats) {
        for (mine, theirs) in self.counts.iter_mut().zip(other.counts) {
            *mine += theirs;
        }
    }

    /// Sum of the counters of dropped points.
    pub fn dropped(&self) -> u64 {
        Counter::ALL
            .iter()
            .filter(|counter| counter.label().starts_with("dropped."))
            .map(|counter| self.get(*counter))
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_unique() {
        for (index, counter) in Counter::ALL.iter().enumerate() {
            assert!(
                Counter::ALL[..index]
                    .iter()
                    .all(|other| other.label() != counter.label())
            );
        }
    }

    #[test]
    fn merge_adds_and_dropped_sums_its_own() {
        let mut one = Stats::default();
        one.add(Counter::DroppedTooOld, 2);
        one.add(Counter::Received, 5);
        let mut two = Stats::default();
        two.add(Counter::DroppedParked, 3);
        two.merge(&one);
        assert_eq!((two.dropped(), two.get(Counter::Received)), (5, 5));
    }
}
