//! `signalbox import`: files of Prometheus text or OpenMetrics to a running server.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, ValueEnum};
use collector::import::{ImportReport, Importer};
use collector::scrape::ScrapeFormat;
use model::SystemClock;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use crate::cli::print_line;

/// What is imported where.
#[derive(Debug, Args)]
pub(crate) struct ImportArguments {
    /// The files; `-` is standard input.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// The server's query port.
    #[arg(long, default_value = "http://127.0.0.1:4319")]
    url: String,
    /// The format; by default each file tells by its end or its first lines.
    #[arg(long, value_enum, default_value = "auto")]
    format: FormatArgument,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FormatArgument {
    Auto,
    /// Prometheus text: times are milliseconds.
    Text,
    /// OpenMetrics: times are seconds.
    Openmetrics,
}

/// Imports the files, says what became of them, and fails if anything was not kept.
pub(crate) fn run(arguments: &ImportArguments) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    runtime.block_on(async {
        let mut importer = Importer::new(&arguments.url, &SystemClock::new())?;
        let mut failure = None;
        for path in &arguments.files {
            if let Err(error) = import(&mut importer, path, arguments.format).await {
                failure = Some(error.context(path.display().to_string()));
                break;
            }
        }
        let (report, result) = importer.finish().await;
        print_report(&report);
        let failure = failure.or(result.err().map(Into::into));
        match failure {
            Some(error) => Err(error),
            None if report.refused.is_empty() => Ok(ExitCode::SUCCESS),
            None => Ok(ExitCode::FAILURE),
        }
    })
}

async fn import(
    importer: &mut Importer,
    path: &Path,
    format: FormatArgument,
) -> anyhow::Result<()> {
    let told = match format {
        FormatArgument::Auto => None,
        FormatArgument::Text => Some(ScrapeFormat::Text),
        FormatArgument::Openmetrics => Some(ScrapeFormat::OpenMetrics),
    };
    if path == Path::new("-") {
        let input = std::io::stdin().as_fd().try_clone_to_owned().context("read")?;
        let input = tokio::fs::File::from_std(std::fs::File::from(input));
        importer.import(input, told).await?;
        return Ok(());
    }
    let mut file = tokio::fs::File::open(path).await.context("open")?;
    let told = match told {
        Some(told) => Some(told),
        None => format_by_end(&mut file).await.context("read")?,
    };
    importer.import(file, told).await?;
    Ok(())
}

const END: &[u8] = b"# EOF";

/// OpenMetrics has an end of its own. What can not be looked at from its end, such as a pipe, tells
/// nothing.
async fn format_by_end(file: &mut tokio::fs::File) -> std::io::Result<Option<ScrapeFormat>> {
    if !file.metadata().await?.is_file() {
        return Ok(None);
    }
    let length = file.seek(std::io::SeekFrom::End(0)).await?;
    file.seek(std::io::SeekFrom::Start(length.saturating_sub(END.len() as u64 + 1))).await?;
    let mut end = Vec::new();
    file.read_to_end(&mut end).await?;
    file.rewind().await?;
    let is_open_metrics = end.trim_ascii_end().ends_with(END);
    Ok(Some(if is_open_metrics { ScrapeFormat::OpenMetrics } else { ScrapeFormat::Text }))
}

fn print_report(report: &ImportReport) {
    let ImportReport { sent, kept, requests, retries, .. } = report;
    print_line(&format!(
        "{sent} samples sent in {requests} requests ({retries} sent again), {kept} kept, {} \
         refused",
        report.refused.values().map(|refused| refused.count).sum::<u64>()
    ));
    for (reason, refused) in &report.refused {
        print_line(&format!("{} refused ({reason}), such as:", refused.count));
        for example in &refused.examples {
            print_line(&format!("  {example}"));
        }
    }
}
