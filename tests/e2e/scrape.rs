//! Scraping and import with the real binary: Signalbox scrapes itself and a target that dies, and a
//! file that is imported can be queried.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::{Binary, Server, Setup, eventually, now_ms};

const JOBS: &str = r"
scrape:
  scrape_interval: 500ms
  scrape_configs:
    - job_name: files
      file_sd_configs: [{files: ['targets/*.yml'], refresh_interval: 200ms}]
      basic_auth: {username: u, password: very-hidden}
      relabel_configs:
        - {source_labels: [__meta_filepath], regex: '.*/(.*)[.]yml', target_label: file}
";

/// A target that lives as long as its task.
async fn start_target(text: &'static str) -> (String, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let task = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            // One read holds the whole of so short a request; what it asks does not matter.
            if stream.read(&mut request).await.unwrap_or(0) == 0 {
                continue;
            }
            let answer = format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: text/plain\r\n\
                 content-length: {}\r\n\r\n{text}",
                text.len()
            );
            stream.write_all(answer.as_bytes()).await.ok();
            stream.shutdown().await.ok();
        }
    });
    (address, task)
}

async fn wait_for(server: &Server, query: &str, expected: Option<f64>) {
    eventually(&format!("{query} is {expected:?}"), async || {
        (server.number(query).await == expected).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn targets_come_from_files_fail_and_go() {
    let server = Setup::default().with_more(JOBS).start().await;
    let folder = server.config().parent().unwrap().join("targets");
    std::fs::create_dir(&folder).unwrap();
    let tell = |name: &str, address: &str| {
        let text = format!("- targets: ['{address}']\n");
        std::fs::write(folder.join(name), text).unwrap();
    };
    let (address, target) = start_target("# TYPE jobs gauge\njobs{job=\"own\"} 7\n").await;
    tell("other.yml", &address);
    tell("self.yml", &server.addresses.query.to_string());
    wait_for(&server, r#"up{file="other"}"#, Some(1.0)).await;
    wait_for(&server, r#"jobs{job="files",exported_job="own"}"#, Some(7.0)).await;
    wait_for(&server, r#"up{file="self"}"#, Some(1.0)).await;
    let own = r#"count({__name__=~"signalbox_.*",file="self",job="files"}) > bool 30"#;
    wait_for(&server, own, Some(1.0)).await;
    // The target dies: it is down, and what it had has ended.
    target.abort();
    wait_for(&server, r#"up{file="other"}"#, Some(0.0)).await;
    wait_for(&server, "count(jobs)", None).await;
    // The file is gone: so is the target, at once.
    std::fs::remove_file(folder.join("other.yml")).unwrap();
    wait_for(&server, r#"up{file="other"}"#, None).await;
    wait_for(&server, "count(up)", Some(1.0)).await;
    let config = server.get("/api/v1/status/config").await.text();
    assert!(config.contains("<secret>") && !config.contains("very-hidden"), "{config}");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_imported_and_refusals_are_told() {
    let server = Server::start().await;
    let url = format!("http://{}", server.addresses.query);
    let folder = server.config().parent().unwrap().to_owned();
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let now = now_ms();
    let mut text = "# HELP imported Imported.\n# TYPE imported counter\n".to_owned();
    for i in 0..50_000 {
        text += &format!("imported{{i=\"{}\"}} {i} {}\n", i % 100, now - 60_000 + i / 1000);
    }
    let seconds = now / 1000 - 30;
    let open = format!("# TYPE s counter\ns_total 5 {seconds}.5\n# EOF\n");
    let files = [write("a.prom", &text), write("b.om", &open)];
    let (status, out, err) = Binary::run(&["import", "--url", &url, &files[0], &files[1]]).await;
    assert!(status.success(), "{out}{err}");
    assert!(out.contains("50001 samples sent in 3 requests (0 sent again), 50001 kept"), "{out}");
    assert_eq!(server.number("count(imported)").await, Some(100.0));
    assert_eq!(server.number("s_total").await, Some(5.0));
    let metadata = server.get("/api/v1/metadata?metric=imported").await.text();
    assert!(metadata.contains("Imported."), "{metadata}");
    // A sample of the far future is refused, the rest is kept.
    let future = write("c.prom", &format!("good 1\nbad 1 {}\n", now + 86_400_000));
    let (status, out, _) = Binary::run(&["import", "--url", &url, &future]).await;
    assert_eq!(status.code(), Some(1));
    assert!(out.contains("1 kept, 1 refused") && out.contains("too_far_in_future"), "{out}");
    assert_eq!(server.number("good").await, Some(1.0));
    let broken = write("d.prom", "good 2\nbad x\n");
    let (status, _, err) = Binary::run(&["import", "--url", &url, &broken]).await;
    assert_eq!(status.code(), Some(1));
    assert!(err.contains("d.prom: 2:5: a number is expected"), "{err}");
}
