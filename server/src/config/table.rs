//! The option table: every option of carbon.conf's [cache] section, and ours.
//! Defaults are Python carbon's, except where docs/operating/carbon.conf.md says that they differ;
//! bounds are those of `bounds`. Nothing is decided here but what an option is.
//! The file is long because it is one list, and one list cannot contradict itself.

use super::beyond::Beyond;
use super::bounds::{
    ANY_INTEGER, BACKENDS, CACHE_BYTES, CACHE_POINTS, CLASSES, CLIENT_IDLE, CREATES, DISK_ORDERS,
    DRIVERS, IN_FLIGHT, INTERVAL, JOURNAL_BYTES, JOURNAL_COMMIT, JOURNAL_SEGMENT, JOURNAL_SYNC,
    KEEPALIVE_PROBES, KEEPALIVE_TIME, LAG, LEVELS, ON_ERROR, PICKLE_FRAME, POINT_AGE, PORT,
    READ_WAIT, RELAY_MESSAGE, RELAY_QUEUE, REPLICAS, RESOLUTION, SENDERS, SHARDS, SHUTDOWNS,
    STRATEGIES, STRATEGY_DEFAULT, STRATEGY_OF_PYTHON, TAG_BATCH, TAG_INTERVAL, TAG_QUEUE, UPDATES,
    WORKERS,
};
use super::option::ConfOption;
use super::value::Kind;

const ANY_HOST: &str = "0.0.0.0";
const OWN_HOST: &str = "127.0.0.1";

const NO_AMQP: &str = "it sets up AMQP, which ENABLE_AMQP turns on";
const NO_SHELL: &str = "it sets up the Python shell, which ENABLE_MANHOLE turns on";
const NO_CERES: &str = "it tunes the Ceres database; files are Whisper's";
const RELAY: &str = "an option of carbon-relay, without effect on carbon-cache";
const AGGREGATOR: &str = "an option of carbon-aggregator, without effect on carbon-cache";

/// Every option that we know.
pub const OPTIONS: &[ConfOption] = &[
    // Directories.
    ConfOption::new(
        "STORAGE_DIR",
        Kind::Path,
        "",
        "What is stored goes below it. Default: $GRAPHITE_STORAGE_DIR, else $GRAPHITE_ROOT/storage, else ../storage where carbon.conf lies in a directory `conf`, else /opt/graphite/storage",
    )
    .flag("--storage-dir"),
    ConfOption::new(
        "CONF_DIR",
        Kind::Path,
        "",
        "Holds storage-schemas.conf, storage-aggregation.conf and the lists. Default: where carbon.conf lies",
    ),
    ConfOption::new(
        "LOCAL_DATA_DIR",
        Kind::Path,
        "",
        "Holds the Whisper files. Default: STORAGE_DIR/whisper",
    )
    .flag("--data-dir"),
    ConfOption::new(
        "LOCAL_DATA_DIRS",
        Kind::List,
        "",
        "Several data directories on several disks, as `/PATH` or `NAME=/PATH` with commas between \
         them. A metric stays where its file is; a new one goes where `volume = NAME` in its section \
         of storage-schemas.conf says, or by a hash. None of them is made. Default: LOCAL_DATA_DIR \
         alone",
    ),
    ConfOption::new(
        "LOG_DIR",
        Kind::Path,
        "",
        "Log files of `start` go into LOG_DIR/carbon-cache-INSTANCE. Default: STORAGE_DIR/log/carbon-cache",
    )
    .flag("--logdir"),
    ConfOption::new(
        "PID_DIR",
        Kind::Path,
        "",
        "Holds the pid file of `start`, carbon-cache-INSTANCE.pid. Default: STORAGE_DIR",
    )
    .flag("--pidfile"),
    ConfOption::new("WHITELISTS_DIR", Kind::Path, "", "Named by Python carbon, never used")
        .idle("Python carbon does not use it either"),
    // The process.
    ConfOption::new(
        "USER",
        Kind::Text,
        "",
        "The user that a daemon started by root becomes, once its ports are bound. Default: who starts it",
    ),
    ConfOption::new(
        "INSTANCES",
        Kind::List,
        "auto",
        "Which instances one process answers for, where no --instance is given. Default: every [cache:NAME], and a, which is [cache] alone where no section names it",
    ),
    ConfOption::new("SHARDS", SHARDS, "auto", "Pinned threads. Default: the cores it may use")
        .unit("threads")
        .flag("--shards"),
    ConfOption::new(
        "RING_DRIVER",
        Kind::Choice { now: DRIVERS, later: &[] },
        "auto",
        "How sockets are served: uring, poll, or auto (uring, and poll where io_uring is forbidden)",
    ),
    ConfOption::new(
        "DATABASE",
        Kind::Text,
        "whisper",
        "The format of the files",
    )
    .refused("whisper", "only Whisper files are written, and Ceres ones stay with Python carbon"),
    ConfOption::new(
        "ENABLE_LOGROTATION",
        Kind::Switch,
        "True",
        "Whether a log file gets the name of its day when that is over; logrotate works with both",
    ),
    // Receivers.
    ConfOption::new(
        "LINE_RECEIVER_INTERFACE",
        Kind::Host,
        ANY_HOST,
        "Where the line receiver (TCP) listens; several with commas (0.0.0.0, ::)",
    )
    .alone(OWN_HOST)
    .flag("--line"),
    ConfOption::new("LINE_RECEIVER_PORT", PORT, "2003", "Port of the line receiver (TCP); 0 is off")
        .flag("--line"),
    ConfOption::new(
        "ENABLE_UDP_LISTENER",
        Kind::Switch,
        "False",
        "Whether lines are received by UDP too. UDP cannot be held back: what is too much is lost",
    )
    .alone("True")
    .flag("--udp"),
    ConfOption::new(
        "UDP_RECEIVER_INTERFACE",
        Kind::Host,
        ANY_HOST,
        "Where the line receiver (UDP) listens; several with commas (0.0.0.0, ::)",
    )
    .alone(OWN_HOST)
    .flag("--udp"),
    ConfOption::new("UDP_RECEIVER_PORT", PORT, "2003", "Port of the line receiver (UDP); 0 is off").flag("--udp"),
    ConfOption::new(
        "PICKLE_RECEIVER_INTERFACE",
        Kind::Host,
        ANY_HOST,
        "Where the pickle receiver listens; several with commas (0.0.0.0, ::)",
    )
    .alone(OWN_HOST)
    .flag("--pickle"),
    ConfOption::new("PICKLE_RECEIVER_PORT", PORT, "2004", "Port of the pickle receiver; 0 is off")
        .flag("--pickle"),
    ConfOption::new(
        "PICKLE_RECEIVER_MAX_LENGTH",
        PICKLE_FRAME,
        "1048576",
        "Longest pickle that is accepted; a longer one closes its connection",
    )
    .unit("bytes")
    .beyond(Beyond::Any),
    ConfOption::new(
        "USE_INSECURE_UNPICKLER",
        Kind::Switch,
        "False",
        "Lets pickles run code in Python carbon",
    )
    .not_yet("False", "no pickle ever runs code; points are received as before"),
    ConfOption::new(
        "PROTOBUF_RECEIVER_INTERFACE",
        Kind::Host,
        ANY_HOST,
        "Where the protobuf receiver listens; several with commas (0.0.0.0, ::)",
    )
    .alone(OWN_HOST)
    .flag("--protobuf"),
    ConfOption::new("PROTOBUF_RECEIVER_PORT", PORT, "0", "Port of the protobuf receiver; 0 is off")
        .flag("--protobuf"),
    ConfOption::new(
        "MAX_RECEIVER_CONNECTIONS",
        SENDERS,
        "inf",
        "Most connections to all receivers together; at it new ones wait, with what they send",
    )
    .unit("connections")
    .beyond(Beyond::Larger),
    ConfOption::new(
        "METRIC_CLIENT_IDLE_TIMEOUT",
        CLIENT_IDLE,
        "None",
        "Closes connections that have sent no accepted point for so long; None keeps them open",
    )
    .unit("seconds")
    .beyond(Beyond::OrUnset { zero: false }),
    ConfOption::new(
        "TCP_KEEPALIVE",
        Kind::Switch,
        "True",
        "Whether the kernel finds out that the other side of a silent connection has gone",
    ),
    ConfOption::new(
        "TCP_KEEPIDLE",
        KEEPALIVE_TIME,
        "10",
        "With TCP_KEEPALIVE: silence before the first probe",
    )
    .unit("seconds")
    .beyond(Beyond::Any),
    ConfOption::new(
        "TCP_KEEPINTVL",
        KEEPALIVE_TIME,
        "30",
        "With TCP_KEEPALIVE: time between probes",
    )
    .unit("seconds")
    .beyond(Beyond::Any),
    ConfOption::new(
        "TCP_KEEPCNT",
        KEEPALIVE_PROBES,
        "2",
        "With TCP_KEEPALIVE: probes without an answer before the connection is closed",
    )
    .unit("probes")
    .beyond(Beyond::Any),
    ConfOption::new(
        "USE_WHITELIST",
        Kind::Switch,
        "False",
        "Filters names by blacklist.conf and whitelist.conf in CONF_DIR: a regular expression a line; the files are watched",
    ),
    ConfOption::new(
        "LINE_RECEIVER_SOCKET",
        Kind::Path,
        "",
        "Unix socket on which the line receiver listens besides",
    ),
    ConfOption::new(
        "PICKLE_RECEIVER_SOCKET",
        Kind::Path,
        "",
        "Unix socket on which the pickle receiver listens besides",
    ),
    ConfOption::new(
        "SOCKET_MODE",
        Kind::Text,
        "660",
        "Who may connect to the Unix sockets: the mode of their files, as for chmod (666 is everybody)",
    ),
    // Cache query.
    ConfOption::new(
        "CACHE_QUERY_INTERFACE",
        Kind::Host,
        ANY_HOST,
        "Where graphite-web asks for points that are not in their files yet; several with commas",
    )
    .alone(OWN_HOST)
    .flag("--query"),
    ConfOption::new("CACHE_QUERY_PORT", PORT, "7002", "Port of the cache query; 0 is off")
        .flag("--query"),
    ConfOption::new(
        "CACHE_QUERY_SOCKET",
        Kind::Path,
        "",
        "Unix socket on which the cache query listens besides",
    ),
    // Cache.
    ConfOption::new("MAX_CACHE_SIZE", CACHE_POINTS, "inf", "Most points in the cache")
        .unit("points")
    .beyond(Beyond::Larger),
    ConfOption::new(
        "MAX_CACHE_BYTES",
        CACHE_BYTES,
        "auto",
        "Most memory for the cache. Default: half of the memory; of several instances each has its part",
    )
    .unit("bytes"),
    ConfOption::new(
        "USE_FLOW_CONTROL",
        Kind::Switch,
        "True",
        "When the cache is full: stop reading from senders (True), or drop points (False)",
    ),
    ConfOption::new(
        "CACHE_WRITE_STRATEGY",
        Kind::Choice { now: STRATEGIES, later: &[] },
        STRATEGY_DEFAULT,
        "Which metric is written next: sorted, timesorted, max, bucketmax, naive, random or deadline",
    )
    .python(STRATEGY_OF_PYTHON)
    .beyond(Beyond::Word(STRATEGY_OF_PYTHON)),
    ConfOption::new(
        "MAX_POINT_AGE",
        POINT_AGE,
        "auto",
        "How long deadline holds a point back at most, and another order passes over a metric. Default: by the disk, 60 (ssd) or 300 (hdd)",
    )
    .unit("seconds"),
    ConfOption::new(
        "MIN_TIMESTAMP_RESOLUTION",
        RESOLUTION,
        "1",
        "Timestamps are cut to a multiple of it; 0 acts as 1, for Whisper keeps whole seconds",
    )
    .python("0")
    .unit("seconds")
    .beyond(Beyond::Any),
    ConfOption::new(
        "MIN_TIMESTAMP_LAG",
        LAG,
        "0",
        "With timesorted: how old a metric's oldest point is before the metric is written",
    )
    .unit("seconds")
    .beyond(Beyond::Any),
    // Disk work.
    ConfOption::new(
        "DEVICE_CLASS",
        Kind::Choice { now: CLASSES, later: &[] },
        "auto",
        "What the data directory's disk is: hdd (it spins), ssd, or auto (the kernel is asked, and a virtual disk tried)",
    ),
    ConfOption::new(
        "MAX_UPDATES_PER_SECOND",
        UPDATES,
        "auto",
        "Most updates of files; a number, inf, or auto (as many as leave readers READ_WAIT_MAX)",
    )
    .python("500")
    .unit("updates/s")
    .beyond(Beyond::Larger),
    ConfOption::new(
        "MAX_UPDATES_PER_SECOND_SSD",
        UPDATES,
        "",
        "The same where the disk is an SSD; it wins there. Default: MAX_UPDATES_PER_SECOND",
    )
    .unit("updates/s"),
    ConfOption::new(
        "MAX_UPDATES_PER_SECOND_HDD",
        UPDATES,
        "",
        "The same where the disk spins; it wins there. Default: MAX_UPDATES_PER_SECOND",
    )
    .unit("updates/s"),
    ConfOption::new(
        "READ_WAIT_MAX",
        READ_WAIT,
        "auto",
        "With auto: what one read in a hundred of others on the disk may wait. Default: by the disk, 20ms (ssd) or 100ms (hdd)",
    )
    .unit("time"),
    ConfOption::new(
        "MAX_UPDATES_PER_SECOND_ON_SHUTDOWN",
        UPDATES,
        "",
        "Most updates while stopping. Default: as before",
    )
    .unit("updates/s")
    .beyond(Beyond::OrUnset { zero: true }),
    ConfOption::new(
        "MAX_CREATES_PER_MINUTE",
        CREATES,
        "auto",
        "Most new files; a number, inf, or auto (in this version as inf). What must wait is kept in the cache",
    )
    .python("inf")
    .unit("creates/min")
    .beyond(Beyond::Larger),
    ConfOption::new(
        "MAX_CREATES_PER_MINUTE_SSD",
        CREATES,
        "",
        "The same where the disk is an SSD; it wins there. Default: MAX_CREATES_PER_MINUTE",
    )
    .unit("creates/min"),
    ConfOption::new(
        "MAX_CREATES_PER_MINUTE_HDD",
        CREATES,
        "",
        "The same where the disk spins; it wins there. Default: MAX_CREATES_PER_MINUTE",
    )
    .unit("creates/min"),
    ConfOption::new(
        "UPDATES_IN_FLIGHT",
        IN_FLIGHT,
        "auto",
        "Most updates of a shard that are under way at once. Default: by the disk",
    )
    .unit("updates"),
    ConfOption::new(
        "KERNEL_WORKERS",
        WORKERS,
        "auto",
        "Most threads that wait for the disk for a shard, the kernel's or, with WRITER_BACKEND = sync, its own. Default: by the disk, 4 (ssd) or 32 (hdd); with several data directories 32 (ssd) or 48 (hdd) for each, and a number here is for all of them together",
    )
    .unit("threads"),
    ConfOption::new(
        "DISK_ORDER",
        Kind::Choice { now: DISK_ORDERS, later: &[] },
        "auto",
        "With CACHE_WRITE_STRATEGY = deadline: write what is due in the order in which its files lie on the disk; on, off, or auto (by the disk: on for hdd)",
    ),
    // Journal.
    ConfOption::new(
        "JOURNAL",
        Kind::Switch,
        "True",
        "Whether what is accepted is journaled, so that a killed daemon or a power cut loses next to nothing",
    ),
    ConfOption::new(
        "JOURNAL_DIR",
        Kind::Path,
        "",
        "Holds the journals, each in a directory with its instance's name; may be on another disk. The flag names the directory of this process itself. Default: STORAGE_DIR/journal",
    )
    .flag("--journal-dir"),
    ConfOption::new(
        "JOURNAL_COMMIT",
        JOURNAL_COMMIT,
        "10ms",
        "A killed daemon loses what it accepted in so long at most",
    )
    .unit("time"),
    ConfOption::new(
        "JOURNAL_SYNC",
        JOURNAL_SYNC,
        "1s",
        "A power cut loses what was accepted in so long at most; always: neither queries nor files show what it could take",
    )
    .unit("time"),
    ConfOption::new(
        "JOURNAL_MAX_BYTES",
        JOURNAL_BYTES,
        "auto",
        "Most bytes of the journal; near it the writer is pushed, at it senders wait. Default: 10 GB, or a tenth of its disk; of several instances each has its part",
    )
    .unit("bytes"),
    ConfOption::new(
        "JOURNAL_SEGMENT_BYTES",
        JOURNAL_SEGMENT,
        "auto",
        "Bytes of one of its files. Default: 64 MiB, less where the journal is small",
    )
    .unit("bytes"),
    ConfOption::new(
        "JOURNAL_ON_ERROR",
        Kind::Choice { now: ON_ERROR, later: &[] },
        "continue",
        "When the journal cannot be written: continue without it, loudly, and try again; or stop",
    ),
    ConfOption::new(
        "SHUTDOWN",
        Kind::Choice { now: SHUTDOWNS, later: &[] },
        "auto",
        "What a stop does with cached points: journal (seconds), drain (writes all files), auto (journal, where there is one that stays)",
    ),
    ConfOption::new(
        "WRITER_BACKEND",
        Kind::Choice { now: BACKENDS, later: &[] },
        "auto",
        "How files are written: uring, sync (threads), or auto (as the sockets: uring, or sync with poll; sync with several data directories, or one on NFS, CIFS or FUSE)",
    ),
    ConfOption::new(
        "WHISPER_AUTOFLUSH",
        Kind::Switch,
        "False",
        "Syncs every file after every update; slow",
    ),
    ConfOption::new(
        "WHISPER_SPARSE_CREATE",
        Kind::Switch,
        "False",
        "New files get their length only; blocks are allocated when points come",
    ),
    ConfOption::new(
        "WHISPER_FALLOCATE_CREATE",
        Kind::Switch,
        "False",
        "New files get their blocks by fallocate, where the file system can; wins over sparse",
    )
    .alone("True"),
    ConfOption::new(
        "WHISPER_LOCK_WRITES",
        Kind::Switch,
        "False",
        "Locks each file (flock) while it is written, for others that write it too",
    ),
    ConfOption::new(
        "WHISPER_FADVISE_RANDOM",
        Kind::Switch,
        "False",
        "Tells the kernel not to read ahead in files, which saves page cache, and costs each update a request",
    ),
    ConfOption::new(
        "TAG_HASH_FILENAMES",
        Kind::Switch,
        "True",
        "Files of tagged series are named by a hash, which keeps names short",
    ),
    // Own metrics and log.
    ConfOption::new("CARBON_METRIC_PREFIX", Kind::Text, "carbon", "Start of our own metrics' names"),
    ConfOption::new("CARBON_METRIC_INTERVAL", INTERVAL, "60", "Time between two points of our own metrics; 0 is off")
        .unit("seconds")
    .beyond(Beyond::Any),
    ConfOption::new(
        "LOG_LEVEL",
        Kind::Choice { now: LEVELS, later: &[] },
        "info",
        "How much is logged: error, warn, info, debug or trace. BENZENE_LOG in the environment wins",
    )
    .flag("--log"),
    ConfOption::new(
        "RELAY_CACHE_METRICS",
        Kind::Switch,
        "False",
        "Sends our own metrics to DESTINATIONS instead of into the own cache",
    ),
    ConfOption::new(
        "DESTINATIONS",
        Kind::List,
        "",
        "With RELAY_CACHE_METRICS: host:port or host:port:instance of other carbons' pickle receivers",
    ),
    ConfOption::new(
        "RELAY_METHOD",
        Kind::Text,
        "rules",
        "With RELAY_CACHE_METRICS: consistent-hashing, or constant (to all); nothing else is accepted then",
    ),
    ConfOption::new(
        "REPLICATION_FACTOR",
        REPLICAS,
        "1",
        "With RELAY_CACHE_METRICS and consistent-hashing: how many destinations a metric goes to",
    )
    .beyond(Beyond::Larger),
    ConfOption::new(
        "DIVERSE_REPLICAS",
        Kind::Switch,
        "True",
        "With RELAY_CACHE_METRICS and consistent-hashing: no server gets a metric twice",
    ),
    ConfOption::new(
        "ROUTER_HASH_TYPE",
        Kind::Text,
        "None",
        "With RELAY_CACHE_METRICS and consistent-hashing: carbon_ch (None too), fnv1a_ch or mmh3_ch",
    ),
    ConfOption::new(
        "MAX_QUEUE_SIZE",
        RELAY_QUEUE,
        "10000",
        "With RELAY_CACHE_METRICS: points that wait for a destination",
    )
    .unit("points")
    .beyond(Beyond::Larger),
    ConfOption::new(
        "MAX_QUEUE_SIZE_HARD_PCT",
        Kind::Text,
        "1.25",
        "With RELAY_CACHE_METRICS and USE_FLOW_CONTROL: MAX_QUEUE_SIZE times so much is the bound",
    ),
    ConfOption::new(
        "MAX_DATAPOINTS_PER_MESSAGE",
        RELAY_MESSAGE,
        "500",
        "With RELAY_CACHE_METRICS: most points in a frame",
    )
    .unit("points")
    .beyond(Beyond::Larger),
    ConfOption::new(
        "LOG_UPDATES",
        Kind::Switch,
        "True",
        "Whether every update is a line in updates.log, where log files are written",
    ),
    ConfOption::new(
        "LOG_CREATES",
        Kind::Switch,
        "True",
        "Whether every new file is in creates.log, with the schemas that it matched",
    ),
    ConfOption::new(
        "LOG_CACHE_HITS",
        Kind::Switch,
        "True",
        "Whether every cache query is a line in query.log",
    ),
    ConfOption::new("LOG_CACHE_QUEUE_SORTS", Kind::Switch, "True", "Logs how long sorting took")
        .idle("the writer never waits for a sort: series are sorted a few at a time"),
    ConfOption::new(
        "LOG_LISTENER_CONN_SUCCESS",
        Kind::Switch,
        "True",
        "Whether connections of senders are in listener.log, when they come and when they end",
    ),
    ConfOption::new(
        "LOG_LISTENER_CONN_LOST",
        Kind::Switch,
        "False",
        "Whether connections that break are in listener.log",
    ),
    ConfOption::new("LOG_LISTENER_CONNECTIONS", Kind::Switch, "True", "Logs connections, in carbon 0.9")
        .idle("carbon 1.x does not read it either; it reads LOG_LISTENER_CONN_SUCCESS"),
    ConfOption::new("RAVEN_DSN", Kind::Text, "None", "Where Sentry takes exceptions")
        .not_yet("None", "nothing is sent to Sentry; errors are in the log, from which journald or a shipper may send them"),
    // Tags.
    ConfOption::new(
        "ENABLE_TAGS",
        Kind::Switch,
        "True",
        "Announces new tagged series to graphite-web's tag index",
    ),
    ConfOption::new(
        "GRAPHITE_URL",
        Kind::Text,
        "http://127.0.0.1:80",
        "Where graphite-web is, with https, a path or USER:PASSWORD@ as needed",
    ),
    ConfOption::new(
        "SKIP_TAGS_FOR_NONTAGGED",
        Kind::Switch,
        "True",
        "Announces tagged series only",
    ),
    ConfOption::new(
        "TAG_UPDATE_INTERVAL",
        TAG_INTERVAL,
        "100",
        "A series is announced again with every so many updates of its file",
    )
    .unit("updates")
    .beyond(Beyond::Larger),
    ConfOption::new("TAG_BATCH_SIZE", TAG_BATCH, "100", "Most series in one announcement")
        .unit("series")
    .beyond(Beyond::Any),
    ConfOption::new(
        "TAG_QUEUE_SIZE",
        TAG_QUEUE,
        "10000",
        "Most new series that wait to be announced, and as many known ones; 0 is as many as can be, 1000000",
    )
    .unit("series")
    .beyond(Beyond::Any),
    // AMQP.
    ConfOption::new("ENABLE_AMQP", Kind::Switch, "False", "Receives metrics from an AMQP broker")
        .refused("False", "metrics cannot be received from AMQP; a relay that can, such as carbon-relay-ng, may send them to LINE_RECEIVER_PORT"),
    ConfOption::new("AMQP_VERBOSE", Kind::Switch, "False", "Logs every metric").idle(NO_AMQP),
    ConfOption::new("AMQP_SPEC", Kind::Text, "None", "Protocol description").idle(NO_AMQP),
    ConfOption::new("AMQP_METRIC_NAME_IN_BODY", Kind::Switch, "False", "Name's place")
        .idle(NO_AMQP),
    ConfOption::new("AMQP_HOST", Kind::Text, "", "Broker's address").idle(NO_AMQP),
    ConfOption::new("AMQP_PORT", PORT, "", "Broker's port").idle(NO_AMQP),
    ConfOption::new("AMQP_VHOST", Kind::Text, "", "Broker's virtual host").idle(NO_AMQP),
    ConfOption::new("AMQP_USER", Kind::Text, "", "Broker's user").idle(NO_AMQP),
    ConfOption::new("AMQP_PASSWORD", Kind::Text, "", "Broker's password").idle(NO_AMQP),
    ConfOption::new("AMQP_EXCHANGE", Kind::Text, "", "Broker's exchange").idle(NO_AMQP),
    ConfOption::new("BIND_PATTERNS", Kind::List, "#", "Routing keys to receive").idle(NO_AMQP),
    // Python's shell.
    ConfOption::new("ENABLE_MANHOLE", Kind::Switch, "False", "Opens a Python shell by SSH")
        .refused("False", "there is no Python to open a shell in; `benzene query` and the own metrics show what is inside"),
    ConfOption::new("MANHOLE_INTERFACE", Kind::Host, "127.0.0.1", "Its address").idle(NO_SHELL),
    ConfOption::new("MANHOLE_PORT", PORT, "7222", "Its port").idle(NO_SHELL),
    ConfOption::new("MANHOLE_USER", Kind::Text, "", "Its user").idle(NO_SHELL),
    ConfOption::new("MANHOLE_PUBLIC_KEY", Kind::Text, "", "Its user's key").idle(NO_SHELL),
    ConfOption::new("MANHOLE_HOST_KEY_DIR", Kind::Path, "", "Its own keys").idle(NO_SHELL),
    // Ceres.
    ConfOption::new("CERES_MAX_SLICE_GAP", ANY_INTEGER, "80", "Largest gap in a slice")
        .unit("points")
        .idle(NO_CERES),
    ConfOption::new("CERES_NODE_CACHING_BEHAVIOR", Kind::Text, "all", "Which nodes it keeps")
        .idle(NO_CERES),
    ConfOption::new("CERES_SLICE_CACHING_BEHAVIOR", Kind::Text, "latest", "Which slices it keeps")
        .idle(NO_CERES),
    ConfOption::new("CERES_LOCK_WRITES", Kind::Switch, "False", "Locks slices").idle(NO_CERES),
    // Known to Python's program for other sections; harmless here.
    ConfOption::new("QUEUE_LOW_WATERMARK_PCT", Kind::Text, "0.8", "Of a relay").idle(RELAY),
    ConfOption::new("TIME_TO_DEFER_SENDING", Kind::Text, "0.0001", "Of a relay").idle(RELAY),
    ConfOption::new("RELAY_RULES", Kind::Text, "relay-rules.conf", "Of a relay").idle(RELAY),
    ConfOption::new("DYNAMIC_ROUTER", Kind::Switch, "False", "Of a relay").idle(RELAY),
    ConfOption::new("DYNAMIC_ROUTER_MAX_RETRIES", ANY_INTEGER, "5", "Of a relay").idle(RELAY),
    ConfOption::new("DESTINATION_PROTOCOL", Kind::Text, "pickle", "Of a relay").idle(RELAY),
    ConfOption::new("DESTINATION_TRANSPORT", Kind::Text, "none", "Of a relay").idle(RELAY),
    ConfOption::new("DESTINATION_SSL_CA", Kind::Path, "None", "Of a relay").idle(RELAY),
    ConfOption::new("DESTINATION_POOL_REPLICAS", Kind::Switch, "False", "Of a relay").idle(RELAY),
    ConfOption::new("TAG_RELAY_NORMALIZED", Kind::Switch, "False", "Of a relay").idle(RELAY),
    ConfOption::new("USE_RATIO_RESET", Kind::Switch, "False", "Of a relay").idle(RELAY),
    ConfOption::new("MIN_RESET_STAT_FLOW", Kind::Text, "1000", "Of a relay").idle(RELAY),
    ConfOption::new("MIN_RESET_RATIO", Kind::Text, "0.9", "Of a relay").idle(RELAY),
    ConfOption::new("MIN_RESET_INTERVAL", Kind::Text, "121", "Of a relay").idle(RELAY),
    ConfOption::new("FORWARD_ALL", Kind::Switch, "True", "Of an aggregator").idle(AGGREGATOR),
    ConfOption::new("MAX_AGGREGATION_INTERVALS", Kind::Text, "5", "Of an aggregator")
        .idle(AGGREGATOR),
    ConfOption::new("WRITE_BACK_FREQUENCY", Kind::Text, "None", "Of an aggregator")
        .idle(AGGREGATOR),
    ConfOption::new("AGGREGATION_RULES", Kind::Text, "aggregation-rules.conf", "Of an aggregator")
        .idle(AGGREGATOR),
    ConfOption::new("REWRITE_RULES", Kind::Text, "rewrite-rules.conf", "Of an aggregator")
        .idle(AGGREGATOR),
    ConfOption::new("CACHE_METRIC_NAMES_MAX", Kind::Text, "0", "Of an aggregator")
        .idle(AGGREGATOR),
    ConfOption::new("CACHE_METRIC_NAMES_TTL", Kind::Text, "0", "Of an aggregator")
        .idle(AGGREGATOR),
    ConfOption::new("LOG_AGGREGATOR_MISSES", Kind::Switch, "True", "Of an aggregator")
        .idle(AGGREGATOR),
];
