//! The server: stores opened, edges connected, ports served, all of it stopped in order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use alertmanager::{Deliver, Deliverers, Engine, EngineOptions, Integration, RunOptions};
use anyhow::Context;
use collector::scrape::{ScrapeTargets, ScrapeTelemetry};
use collector::tail::{TailDoors, TailTelemetry};
use collector::{Receiver, Sinks, Telemetry};
use disk::Kv;
use disk::files::create_folders;
use disk::journal::CorruptRecord;
use logstore::LogStore;
use model::{Clock, KeyValue, SystemClock};
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use query::promql::EvalOptions;
use rules::{Manager, ManagerConfig, RedMetrics};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracestore::TraceStore;
use tsdb::Tsdb;

use crate::config::Config;
use crate::jobs;
use crate::rule_query::{StoreQuery, read_rule_files};
use crate::scrape_status::Scraped;
use crate::self_status::{Status, StoreCollector};

/// The three stores.
pub(crate) struct Stores {
    pub(crate) series: Arc<Tsdb>,
    pub(crate) logs: Arc<LogStore>,
    pub(crate) spans: Arc<TraceStore>,
}

impl Stores {
    fn open(config: &Config, clock: &Arc<dyn Clock>) -> anyhow::Result<Stores> {
        let dir = |name: &str| config.data_dir.join(name);
        // Replays are independent and may be long.
        let (series, logs, spans) = std::thread::scope(|scope| {
            let logs =
                scope.spawn(|| LogStore::open(&dir("logs"), config.logs.clone(), clock.clone()));
            let spans = scope
                .spawn(|| TraceStore::open(&dir("traces"), config.traces.clone(), clock.clone()));
            let series = Tsdb::begin(&dir("metrics"), config.metrics.clone(), clock.clone());
            (series, logs.join(), spans.join())
        });
        let panicked = |store| move |_| anyhow::anyhow!("the replay of the {store} store panicked");
        let stores = Stores {
            series: Arc::new(series.context("open the metrics store")?),
            logs: Arc::new(logs.map_err(panicked("log"))?.context("open the log store")?),
            spans: Arc::new(spans.map_err(panicked("trace"))?.context("open the trace store")?),
        };
        tell_corrupt(stores.logs.corrupt_records());
        for what in stores.logs.damage() {
            tracing::error!("damaged: {what}");
        }
        tell_corrupt(stores.spans.corrupt_records());
        Ok(stores)
    }

    /// Reads what the metrics store held before; meanwhile it takes samples and no queries.
    fn load_series(&self) -> anyhow::Result<()> {
        self.series.load().context("load the metrics store")?;
        tell_corrupt(self.series.corrupt_records());
        for what in self.series.damage() {
            tracing::error!("damaged: {what}");
        }
        tracing::info!(series = self.series.stats().series, "the metrics store is loaded");
        Ok(())
    }

    /// Why stores refuse writes: until a restart, or until the disk has room.
    pub(crate) fn read_only_reasons(&self) -> Vec<String> {
        let reasons = [
            self.series.read_only_reason(),
            self.series.disk_full_reason(),
            self.logs.read_only_reason(),
            self.logs.disk_full_reason(),
            self.spans.read_only_reason(),
            self.spans.disk_full_reason(),
        ];
        reasons.into_iter().flatten().collect()
    }

    fn close(&self) {
        self.series.close();
        self.logs.close();
        self.spans.close();
    }
}

fn tell_corrupt(records: &[CorruptRecord]) {
    for record in records {
        tracing::error!(
            "{}: {} at offset {}; {} bytes were skipped",
            record.path.display(),
            record.what,
            record.offset,
            record.bytes
        );
    }
}

/// Where the ports really are (a configured port 0 becomes a real one).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addresses {
    pub(crate) grpc: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) query: SocketAddr,
}

/// A running server.
pub(crate) struct Server {
    pub(crate) addresses: Addresses,
    stores: Arc<Stores>,
    status: Arc<Status>,
    stop_edges: CancellationToken,
    edges: TaskTracker,
    stop_jobs: CancellationToken,
    jobs: TaskTracker,
    /// Until it was waited for.
    loading: Option<JoinHandle<anyhow::Result<()>>>,
}

/// A receiver of pages that the binary brings itself, such as the demo's terminal.
pub(crate) type ExtraReceiver = (Integration, Arc<dyn Deliver>);

impl Server {
    /// Opens the stores, starts the jobs, and serves. Returns when all ports are open; metrics that
    /// were stored before can be asked for from [`Server::loaded`] on.
    pub(crate) async fn start(
        config: Config,
        extra_receivers: Vec<ExtraReceiver>,
    ) -> anyhow::Result<Server> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        create_folders(&config.data_dir)
            .with_context(|| format!("create the data folder {}", config.data_dir.display()))?;
        // The database first: its lock tells whether another process uses the folder.
        let families = [rules::FAMILY, alertmanager::FAMILY, collector::tail::FAMILY];
        let kv: Arc<dyn KeyValue> = Arc::new(Kv::open(&config.data_dir.join("kv"), &families)?);
        let listeners = Listeners::bind(&config).await?;
        let addresses = listeners.addresses()?;
        let external_url =
            config.external_url.clone().unwrap_or_else(|| format!("http://{}", addresses.query));
        let stores = {
            let (config, clock) = (config.clone(), clock.clone());
            let open = move || Stores::open(&config, &clock);
            Arc::new(tokio::task::spawn_blocking(open).await.context("open the stores")??)
        };
        let mut registry = Registry::default();
        registry.register_collector(Box::new(StoreCollector(stores.clone())));
        let status = Arc::new(Status {
            stores: stores.clone(),
            started: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            config_text: config.text.clone(),
            retention_ms: config.metrics.retention_ms,
        });

        let (stop_jobs, jobs) = (CancellationToken::new(), TaskTracker::new());
        let loading = {
            let stores = stores.clone();
            Some(jobs.spawn_blocking(move || stores.load_series()))
        };
        let engine = start_alertmanager(
            &config,
            &external_url,
            kv.clone(),
            clock.clone(),
            extra_receivers,
            &stop_jobs,
            &jobs,
        )?;
        engine.metrics().register(&mut registry);
        let tail_kv = kv.clone();
        let manager = start_rules(&config, &external_url, &stores, kv, &engine, clock.clone())?;
        manager.metrics().register(&mut registry);
        jobs.spawn(jobs::evaluate_rules(
            manager.clone(),
            clock.clone(),
            jobs.clone(),
            stop_jobs.clone(),
        ));
        let red = Arc::new(RedMetrics::new(config.red.clone(), clock.clone()));
        red.register(&mut registry);
        jobs.spawn(jobs::flush_red(
            red.clone(),
            stores.clone(),
            clock.clone(),
            config.red_flush_interval,
            stop_jobs.clone(),
        ));
        jobs.spawn(jobs::enforce_retention(stores.clone(), stop_jobs.clone()));
        jobs.spawn(jobs::maintain_series(stores.clone(), stop_jobs.clone()));
        jobs.spawn(jobs::seal_logs(stores.clone(), stop_jobs.clone()));
        jobs.spawn(jobs::maintain_logs(stores.clone(), stop_jobs.clone()));

        let targets = Arc::new(ScrapeTargets::default());
        jobs.spawn(collector::scrape::scrape(
            config.scrape.clone(),
            stores.series.clone(),
            clock.clone(),
            ScrapeTelemetry::register(&mut registry),
            targets.clone(),
            stop_jobs.clone(),
        ));
        let doors = TailDoors {
            sink: stores.logs.clone(),
            source: stores.logs.clone(),
            kv: tail_kv,
            clock: clock.clone(),
            telemetry: TailTelemetry::register(&mut registry),
            line_bytes_max: config.otlp.log_line_bytes_max,
        };
        for job in config.tail.clone() {
            let (doors, stop) = (doors.clone(), stop_jobs.clone());
            jobs.spawn(collector::tail::tail(job, doors, stop));
        }
        let sinks = Sinks {
            series: stores.series.clone(),
            logs: stores.logs.clone(),
            spans: stores.spans.clone(),
            observer: red,
        };
        let telemetry = Telemetry::register(&mut registry);
        let receiver = Arc::new(Receiver::new(
            sinks,
            config.otlp,
            config.translation.clone(),
            telemetry,
            clock.clone(),
        ));
        let otlp_http = collector::http_router(receiver.clone(), &config.cors);
        let state = api::ApiState {
            series: stores.series.clone(),
            series_admin: Some(stores.series.clone()),
            targets: Some(Arc::new(Scraped {
                targets,
                pools: config.scrape.iter().map(|job| job.name.clone()).collect(),
                config_text: config.text.clone(),
            })),
            logs: stores.logs.clone(),
            logs_admin: Some(stores.logs.clone()),
            spans: stores.spans.clone(),
            clock,
            rules: manager,
            alertmanager: engine,
            status: status.clone(),
            registry: Arc::new(Mutex::new(registry)),
            build: api::BuildInfo {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                revision: String::new(),
            },
            external_url,
            options: api::ApiOptions {
                limits: config.query,
                lookback: config.lookback,
                queries_concurrent_max: config.queries_concurrent_max,
                query_threads: config.query_threads,
                external_labels: config.external_labels.clone(),
                ..Default::default()
            },
        };
        let (stop_edges, edges) = (CancellationToken::new(), TaskTracker::new());
        let query_router = api::router(state).merge(otlp_http.clone());
        for (listener, router) in [
            (listeners.grpc, collector::grpc_router(receiver)),
            (listeners.http, otlp_http),
            (listeners.query, query_router),
        ] {
            let stop = stop_edges.clone();
            edges.spawn(collector::serve(listener, router, config.connections, stop));
        }
        status.started.store(true, Ordering::SeqCst);
        tracing::info!(
            grpc = %addresses.grpc,
            http = %addresses.http,
            query = %addresses.query,
            data = %config.data_dir.display(),
            "ready"
        );
        Ok(Server { addresses, stores, status, stop_edges, edges, stop_jobs, jobs, loading })
    }

    /// Returns when everything that was stored before can be asked for. Fails if it can not be read.
    pub(crate) async fn loaded(&mut self) -> anyhow::Result<()> {
        let Some(loading) = &mut self.loading else { return Ok(()) };
        let loaded = loading.await;
        self.loading = None;
        loaded.context("load the metrics store")?
    }

    /// The stores, for what the binary shows itself.
    pub(crate) fn stores(&self) -> Arc<Stores> {
        self.stores.clone()
    }

    /// Stops accepting, lets open requests finish, stops the jobs, closes the stores.
    pub(crate) async fn stop(self) {
        self.status.stopping.store(true, Ordering::SeqCst);
        self.stop_edges.cancel();
        self.edges.close();
        self.edges.wait().await;
        self.stop_jobs.cancel();
        self.stores.series.stop_maintenance();
        self.stores.logs.stop_maintenance();
        self.jobs.close();
        self.jobs.wait().await;
        let stores = self.stores;
        if tokio::task::spawn_blocking(move || stores.close()).await.is_err() {
            tracing::error!("closing the stores panicked");
        }
    }
}

struct Listeners {
    grpc: TcpListener,
    http: TcpListener,
    query: TcpListener,
}

impl Listeners {
    async fn bind(config: &Config) -> anyhow::Result<Listeners> {
        let bind = async |key: &str, address: SocketAddr| {
            TcpListener::bind(address)
                .await
                .with_context(|| format!("listen on {address} (configure {key} to change it)"))
        };
        Ok(Listeners {
            grpc: bind("listen.grpc", config.listen_grpc).await?,
            http: bind("listen.http", config.listen_http).await?,
            query: bind("listen.query", config.listen_query).await?,
        })
    }

    fn addresses(&self) -> anyhow::Result<Addresses> {
        Ok(Addresses {
            grpc: self.grpc.local_addr()?,
            http: self.http.local_addr()?,
            query: self.query.local_addr()?,
        })
    }
}

fn start_alertmanager(
    config: &Config,
    external_url: &str,
    kv: Arc<dyn KeyValue>,
    clock: Arc<dyn Clock>,
    extra_receivers: Vec<ExtraReceiver>,
    stop: &CancellationToken,
    jobs: &TaskTracker,
) -> anyhow::Result<Arc<Engine>> {
    let mut deliverers = Deliverers::of_config(&config.alertmanager)?;
    for (integration, deliver) in &extra_receivers {
        deliverers.add(integration, deliver.clone());
    }
    let options = EngineOptions {
        config: config.alertmanager.clone(),
        external_url: format!("{external_url}/alertmanager"),
        integrations: extra_receivers.into_iter().map(|(integration, _)| integration).collect(),
    };
    let engine = Arc::new(Engine::open(options, kv, clock.now_ms())?);
    let stop = stop.clone();
    jobs.spawn(alertmanager::run(
        engine.clone(),
        deliverers,
        clock,
        RunOptions::default(),
        async move { stop.cancelled().await },
    ));
    Ok(engine)
}

fn start_rules(
    config: &Config,
    external_url: &str,
    stores: &Stores,
    kv: Arc<dyn KeyValue>,
    engine: &Arc<Engine>,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<Arc<Manager>> {
    let query = StoreQuery {
        store: stores.series.clone(),
        logs: stores.logs.clone(),
        clock: clock.clone(),
        limits: config.query,
        options: EvalOptions {
            lookback_ms: config.lookback.as_millis() as i64,
            ..Default::default()
        },
    };
    let manager_config = ManagerConfig {
        interval_ms: config.evaluation_interval.as_millis() as i64,
        resend_delay_ms: config.resend_delay.as_millis() as i64,
        external_url: external_url.to_owned(),
        external_labels: config.external_labels.clone(),
        ..Default::default()
    };
    let engine = engine.clone();
    let send = Arc::new(move |now, alerts| Ok(engine.put_alerts(now, alerts)?));
    let sink = stores.series.clone();
    let manager = Manager::new(manager_config, Arc::new(query), sink, kv, send, clock.clone());
    let (files, warnings) = read_rule_files(&config.rule_files)?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    manager.load(clock.now_ms(), &files)?;
    Ok(Arc::new(manager))
}
