//! `signalbox demo`: a server, a shop of five services that sends it telemetry through the real
//! OpenTelemetry SDK, an outage, and the page it causes.

mod pager;
mod random;
mod services;
mod shop;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use alertmanager::Integration;
use anyhow::{Context, bail};
use clap::Args;
use model::{Clock, SystemClock};
use tokio_util::sync::CancellationToken;

use crate::cli::{self, print_line};
use crate::config::Config;
use crate::logging;
use crate::server::{Addresses, Server};
use pager::Pager;
use shop::Shop;

/// The demo's own arguments.
#[derive(Debug, Args)]
pub(crate) struct DemoArguments {
    /// Compress the story to a quarter of a minute and end after the page.
    #[arg(long)]
    fast: bool,
}

/// When things happen.
#[derive(Debug, Clone, Copy)]
struct Story {
    /// The shop is healthy until then.
    healthy: Duration,
    /// Payment fails until then; afterwards it works again.
    outage_end: Duration,
    orders_per_second: u32,
    /// How often the SDK exports, spans become metrics, and rules run.
    pace: Duration,
    /// The window of the rule's rates.
    window: &'static str,
    /// How long the rule must hold.
    hold: &'static str,
    /// Without a page by then, something is broken.
    page_deadline: Duration,
    progress_every: Duration,
}

const NORMAL: Story = Story {
    healthy: Duration::from_secs(60),
    outage_end: Duration::from_secs(240),
    orders_per_second: 8,
    pace: Duration::from_secs(5),
    window: "1m",
    hold: "10s",
    page_deadline: Duration::from_secs(180),
    progress_every: Duration::from_secs(5),
};

const FAST: Story = Story {
    healthy: Duration::from_secs(8),
    outage_end: Duration::from_secs(3600),
    orders_per_second: 20,
    pace: Duration::from_secs(1),
    window: "10s",
    hold: "2s",
    page_deadline: Duration::from_secs(45),
    progress_every: Duration::from_secs(2),
};

/// The link that the page leads to.
const RUNBOOK: &str = "https://runbooks.shop.example/payment-errors";

/// Runs the demo; without `--fast` until it is interrupted. Without a data folder it makes one and
/// removes it at the end.
pub(crate) fn run(arguments: DemoArguments, data: Option<PathBuf>) -> anyhow::Result<ExitCode> {
    logging::start("error")?;
    let story = if arguments.fast { FAST } else { NORMAL };
    let temporary = match data {
        Some(_) => None,
        None => Some(TemporaryFolder::make()?),
    };
    let folder = data.or_else(|| temporary.as_ref().map(|folder| folder.0.clone()));
    let folder = folder.context("no folder for the demo's data")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    let result = runtime.block_on(play(&folder, story, arguments.fast));
    runtime.shutdown_timeout(cli::LAST_GRACE);
    drop(temporary);
    result
}

async fn play(folder: &std::path::Path, story: Story, is_fast: bool) -> anyhow::Result<ExitCode> {
    let stop = cli::stop_on_signal()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let config = configuration(folder, story)?;
    let pager = Arc::new(Pager::new(clock.clone()));
    let terminal = Integration {
        receiver: config.alertmanager.route.receiver.clone(),
        kind: "terminal".to_owned(),
        index: 0,
        send_resolved: true,
    };
    print_line("Signalbox demo: a shop of five services, an outage, a page.\n");
    let mut server = Server::start(config, vec![(terminal, pager.clone())]).await?;
    server.loaded().await?;
    pager.connect(server.stores(), server.addresses);
    print_addresses(&server.addresses);

    let shop = Shop::open(server.addresses.grpc, story.pace)?;
    let outcome = tell(&shop, &server, &pager, &*clock, story, is_fast, &stop).await;
    shop.close().await;
    if outcome.is_ok() && !is_fast && !stop.is_cancelled() {
        print_line("The shop has recovered and closed. The server stays up; Ctrl-C ends it.");
        stop.cancelled().await;
    }
    server.stop().await;
    outcome
}

/// Plays orders until the story ends.
async fn tell(
    shop: &Shop,
    server: &Server,
    pager: &Pager,
    clock: &dyn Clock,
    story: Story,
    is_fast: bool,
    stop: &CancellationToken,
) -> anyhow::Result<ExitCode> {
    let started = clock.monotonic();
    let mut orders = tokio::time::interval(Duration::from_secs(1) / story.orders_per_second);
    let (mut next_progress, mut is_failing, mut told_queries) = (Duration::ZERO, false, false);
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(ExitCode::SUCCESS),
            _ = orders.tick() => {}
        }
        let elapsed = clock.monotonic().saturating_sub(started);
        let was_failing = std::mem::replace(
            &mut is_failing,
            (story.healthy..story.outage_end).contains(&elapsed),
        );
        if is_failing && !was_failing {
            pager.mark_outage();
            print_line(&format!(
                "{}  --- payment begins to fail: its card gateway refuses a third of the charges",
                stamp(elapsed)
            ));
        }
        if was_failing && !is_failing {
            print_line(&format!("{}  --- the gateway works again", stamp(elapsed)));
        }
        shop.order(clock.now(), is_failing);
        if elapsed >= next_progress {
            next_progress = elapsed + story.progress_every;
            print_line(&format!("{}  {}", stamp(elapsed), progress(shop, server, is_failing)));
        }
        if pager.pages() == 0 && elapsed > story.page_deadline {
            bail!("no page came within {:?}; this is a defect", story.page_deadline);
        }
        if pager.pages() > 0 && !told_queries {
            told_queries = true;
            print_queries(&server.addresses, pager, is_fast);
        }
        if pager.is_resolved() || (is_fast && told_queries) {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

fn stamp(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    format!("{:>2}:{:02}", seconds / 60, seconds % 60)
}

fn progress(shop: &Shop, server: &Server, is_failing: bool) -> String {
    let stored = server.stores();
    let (series, logs, spans) = (stored.series.stats(), stored.logs.stats(), stored.spans.stats());
    format!(
        "{}  {:>5} orders, {:>4} failed charges | stored: {:>6} spans in {:>5} traces, {:>5} log \
         records, {:>4} series",
        if is_failing { "payment fails  " } else { "all is well    " },
        shop.orders(),
        shop.failures(),
        spans.spans,
        spans.traces,
        logs.records,
        series.series,
    )
}

/// The demo's server: its ports, or any free ones if they are taken; a rule; a quick route.
fn configuration(folder: &std::path::Path, story: Story) -> anyhow::Result<Config> {
    std::fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    let pace = format!("{}s", story.pace.as_secs());
    let (window, hold) = (story.window, story.hold);
    let rules = format!(
        r#"groups:
  - name: shop
    interval: {pace}
    rules:
      - record: service:requests:error_ratio
        expr: |
          sum by (service) (rate(traces_spanmetrics_calls_total{{span_kind="SPAN_KIND_SERVER", status_code="STATUS_CODE_ERROR"}}[{window}]))
          / sum by (service) (rate(traces_spanmetrics_calls_total{{span_kind="SPAN_KIND_SERVER"}}[{window}]))
      - alert: HighErrorRatio
        expr: service:requests:error_ratio > 0.05
        for: {hold}
        labels:
          severity: page
        annotations:
          summary: '{{{{ $labels.service }}}}: {{{{ $value | humanizePercentage }}}} of requests fail'
          description: 'Customers can not pay. The error ratio of {{{{ $labels.service }}}} over the last {window} is {{{{ $value | humanizePercentage }}}}; the limit is 5%.'
          runbook_url: {RUNBOOK}
"#
    );
    std::fs::write(folder.join("rules.yml"), rules).context("write the demo's rules")?;
    let route = format!(
        "route: {{receiver: on-call, group_by: [alertname], group_wait: 1s, group_interval: {pace}, \
         repeat_interval: 1h}}\nreceivers: [{{name: on-call}}]\n"
    );
    std::fs::write(folder.join("alertmanager.yml"), route).context("write the demo's route")?;
    let [grpc, http, query] = ports();
    let text = format!(
        "listen: {{grpc: '127.0.0.1:{grpc}', http: '127.0.0.1:{http}', query: '127.0.0.1:{query}'}}\n\
         rules: {{files: [rules.yml]}}\nalertmanager: {{config_file: alertmanager.yml}}\n\
         red: {{flush_interval: {pace}}}\n"
    );
    let mut config = Config::parse(&text, folder)?;
    config.data_dir = folder.join("data");
    Ok(config)
}

/// The default ports if all are free, else any.
fn ports() -> [u16; 3] {
    let usual = [4317, 4318, 4319];
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    if usual.iter().all(is_free) { usual } else { [0; 3] }
}

fn print_addresses(addresses: &Addresses) {
    let Addresses { grpc, http, query } = addresses;
    print_line(&format!(
        "  OTLP        grpc {grpc}, http://{http}/v1/{{traces,metrics,logs}}\n  \
         Prometheus  http://{query}/prometheus\n  \
         Loki        http://{query} (Grafana adds /loki)\n  \
         Tempo       http://{query}/tempo\n  \
         Alerts      http://{query}/alertmanager\n  \
         itself      http://{query}/metrics\n"
    ));
}

fn print_queries(addresses: &Addresses, pager: &Pager, is_fast: bool) {
    let query: SocketAddr = addresses.query;
    let trace = pager.trace_id().map_or("TRACE_ID".to_owned(), |id| id.to_string());
    let when = match is_fast {
        true => "Without --fast the server stays up; then try:",
        false => "Try, while the server runs:",
    };
    print_line(&format!(
        "\n{when}\n  \
         PromQL   curl -s http://{query}/api/v1/query --data-urlencode \
         'query=sum by (service) (rate(traces_spanmetrics_calls_total[1m]))'\n  \
         PromQL   curl -s http://{query}/api/v1/query --data-urlencode \
         'query=histogram_quantile(0.95, sum by (le, service) \
         (rate(traces_spanmetrics_latency_bucket[1m])))'\n  \
         LogQL    curl -sG http://{query}/loki/api/v1/query_range --data-urlencode \
         'query={{service_name=\"payment\"}} |= \"declined\"'\n  \
         TraceQL  curl -sG http://{query}/tempo/api/search --data-urlencode \
         'q={{ resource.service.name = \"payment\" && status = error }}'\n  \
         a trace  curl -s http://{query}/tempo/api/v2/traces/{trace}\n  \
         alerts   curl -s http://{query}/api/v1/alerts\n"
    ));
}

/// A folder that goes when the demo ends.
struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    fn make() -> anyhow::Result<Self> {
        let name = format!("signalbox-demo-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).with_context(|| format!("create {}", path.display()))?;
        Ok(TemporaryFolder(path))
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            print_line(&format!("could not remove {}: {error}", self.0.display()));
        }
    }
}
