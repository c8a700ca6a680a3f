//! What the read edge is given: sources to read, engines to ask, limits to keep.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::{
    Clock, Labels, LogAdmin, LogSource, QueryLimits, SeriesAdmin, SeriesSource, SpanSource,
    TimestampMs,
};
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use rules::RuleGroupStatus;

use crate::run::Runner;
use crate::telemetry::Telemetry;

/// Everything the routes need. The binary makes it, [`crate::router`] takes it.
pub struct ApiState {
    /// Metrics.
    pub series: Arc<dyn SeriesSource>,
    /// The same store for operators, if it has a face for them.
    pub series_admin: Option<Arc<dyn SeriesAdmin>>,
    /// Logs.
    pub logs: Arc<dyn LogSource>,
    /// The same store for operators, if it has a face for them.
    pub logs_admin: Option<Arc<dyn LogAdmin>>,
    /// Traces.
    pub spans: Arc<dyn SpanSource>,
    /// The time of `now` in queries, and of deadlines.
    pub clock: Arc<dyn Clock>,
    /// What is scraped, if anything can be.
    pub targets: Option<Arc<dyn ScrapeStatus>>,
    /// Rules and their alerts.
    pub rules: Arc<dyn RulesStatus>,
    /// Alerts, groups and silences.
    pub alertmanager: Arc<alertmanager::Engine>,
    /// How this process is.
    pub status: Arc<dyn SelfStatus>,
    /// The metrics of this process; the read edge adds its own.
    pub registry: Arc<Mutex<Registry>>,
    /// Which Signalbox this is.
    pub build: BuildInfo,
    /// How others reach this server, without a slash at the end.
    pub external_url: String,
    /// Limits.
    pub options: ApiOptions,
}

/// Limits of the read edge.
#[derive(Debug, Clone)]
pub struct ApiOptions {
    /// What one query may use.
    pub limits: QueryLimits,
    /// How old a sample may be and still be the current one.
    pub lookback: Duration,
    /// Steps that a range query may have.
    pub points_per_series_max: i64,
    /// Queries that run at once; more wait.
    pub queries_concurrent_max: usize,
    /// Threads that running queries share beside those that they have of their own.
    pub query_threads: usize,
    /// How long a query waits for its turn before it is refused.
    pub queue_timeout: Duration,
    /// Lines that a log query may ask for.
    pub log_lines_max: usize,
    /// Log tails that are open at once.
    pub tails_max: usize,
    /// Labels that are added to what other servers read from here.
    pub external_labels: Labels,
}

impl Default for ApiOptions {
    fn default() -> Self {
        ApiOptions {
            limits: QueryLimits::default(),
            lookback: Duration::from_secs(300),
            points_per_series_max: 11_000,
            queries_concurrent_max: 20,
            query_threads: 0,
            queue_timeout: Duration::from_secs(10),
            log_lines_max: 5000,
            tails_max: 10,
            external_labels: Labels::empty(),
        }
    }
}

/// Which Signalbox this is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildInfo {
    /// The version of the package.
    pub version: String,
    /// The commit, or empty.
    pub revision: String,
}

/// How the process is doing; the binary knows.
pub trait SelfStatus: Send + Sync {
    /// Why requests should go elsewhere, in words; empty if all is well.
    fn not_ready_reasons(&self) -> Vec<String>;

    /// Whether the start is over.
    fn has_started(&self) -> bool;

    /// The configuration as YAML, secrets masked.
    fn config_text(&self) -> String;

    /// Where and how the process runs.
    fn runtime(&self) -> RuntimeFacts {
        RuntimeFacts::default()
    }
}

/// Where and how the process runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuntimeFacts {
    /// The folder it was started in.
    pub folder: String,
    /// The name of the machine.
    pub host: String,
    /// Its threads.
    pub threads: u64,
    /// Stretches of journals that could not be read.
    pub corruptions: u64,
    /// How long metrics are kept, in Prometheus's words.
    pub retention: String,
}

/// Who knows what is scraped.
pub trait ScrapeStatus: Send + Sync {
    /// Names of the jobs.
    fn pools(&self) -> Vec<String>;

    /// Targets that are scraped, in order of job.
    fn active(&self) -> Vec<ActiveTarget>;

    /// Jobs and labels before relabelling of targets that it dropped, in order of job.
    fn dropped(&self) -> Vec<(String, Labels)>;

    /// How many targets relabelling dropped, by job.
    fn dropped_counts(&self) -> BTreeMap<String, usize>;

    /// One job as YAML, secrets masked; `None` if there is no such job.
    fn pool_config(&self, pool: &str) -> Option<String>;
}

/// A target that is scraped.
#[derive(Debug, Clone)]
pub struct ActiveTarget {
    /// Its job.
    pub pool: String,
    /// Before relabelling.
    pub discovered_labels: Labels,
    /// After it.
    pub labels: Labels,
    /// What is asked.
    pub scrape_url: String,
    /// From scrape to scrape.
    pub interval: Duration,
    /// What a scrape may take.
    pub timeout: Duration,
    /// `up`, `down` or `unknown`.
    pub health: &'static str,
    /// Of the last scrape; empty if it worked.
    pub last_error: String,
    /// When the last scrape began.
    pub last_scrape: Option<TimestampMs>,
    /// How long it took.
    pub last_duration: Duration,
}

/// Who knows the rules.
pub trait RulesStatus: Send + Sync {
    /// The last known state of all groups; must not wait for an evaluation.
    fn groups(&self) -> Vec<Arc<RuleGroupStatus>>;
}

impl RulesStatus for rules::Manager {
    fn groups(&self) -> Vec<Arc<RuleGroupStatus>> {
        self.statuses()
    }
}

/// The state behind all routes.
pub(crate) struct Shared {
    pub(crate) state: ApiState,
    pub(crate) runner: Runner,
    pub(crate) telemetry: Telemetry,
    pub(crate) tails: Arc<tokio::sync::Semaphore>,
    pub(crate) started_at: model::TimestampMs,
}

/// What a handler extracts.
pub(crate) type App = axum::extract::State<Arc<Shared>>;

impl Shared {
    pub(crate) fn new(state: ApiState) -> Arc<Self> {
        let telemetry = Telemetry::register(&mut state.registry.lock());
        let runner = Runner::new(&state.options, state.clock.clone(), telemetry.clone());
        let tails = Arc::new(tokio::sync::Semaphore::new(state.options.tails_max));
        let started_at = state.clock.now_ms();
        Arc::new(Shared { state, runner, telemetry, tails, started_at })
    }

    pub(crate) fn eval_options(&self) -> query::promql::EvalOptions {
        let lookback_ms = i64::try_from(self.state.options.lookback.as_millis()).unwrap_or(300_000);
        query::promql::EvalOptions { lookback_ms, ..Default::default() }
    }
}
