//! How long Fulcrum takes from its start to its first answer, with a thousand prompts in the database.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::Result;
use crate::client::Conn;
use crate::contenders::{admin_request, fulcrum_command};
use crate::process::{Process, free_port};
use crate::report::Row;

const PROMPTS: usize = 1_000;
const STARTS: usize = 7;

/// Starts that find the prompts both in their folder and in the database, then starts with an empty folder.
pub(crate) async fn measure(contender: &str, binary: &Path, upstream: SocketAddr, home: &Path) -> Result<Vec<Row>> {
    let home = home.join("startup").join(contender);
    let folder = home.join("prompts");
    write_prompts(&folder)?;
    let (import, resident) = start_once(binary, upstream, &home).await?;
    eprintln!("startup of {contender}, first, with import: {:.0} ms, {resident:.1} MiB", import.as_secs_f64() * 1e3);
    let mut rows = Vec::new();
    for name in ["same folder", "empty folder"] {
        let mut times = Vec::new();
        let mut resident = 0.0;
        for _ in 0..STARTS {
            let (time, mebibytes) = start_once(binary, upstream, &home).await?;
            times.push(time);
            resident = mebibytes;
        }
        times.sort_unstable();
        let mut row = Row::new("startup", &format!("{contender}, {name}"));
        row.set("starts", STARTS as f64);
        row.set("p50_ms", times[STARTS / 2].as_secs_f64() * 1e3);
        row.set("worst_ms", times[STARTS - 1].as_secs_f64() * 1e3);
        row.set("idle_mib", resident);
        eprintln!("startup {}", row.line());
        rows.push(row);
        fs::remove_dir_all(&folder)?;
    }
    Ok(rows)
}

/// From the start of the process to the first 200, and its memory half a second later.
async fn start_once(binary: &Path, upstream: SocketAddr, home: &Path) -> Result<(Duration, f64)> {
    let address = free_port()?;
    let mut command = fulcrum_command(binary, upstream, home, address)?;
    let start = Instant::now();
    let mut process = Process::start(&mut command, &home.join("log"))?;
    let request = admin_request();
    let took = loop {
        match Conn::new(address).call(&request, &mut |_| {}).await {
            Ok(reply) if reply.status == 200 => break start.elapsed(),
            Ok(reply) if reply.status < 500 || start.elapsed() > Duration::from_secs(60) => {
                return Err(format!("the first answer was {}", reply.status).into());
            }
            Err(error) if !process.runs() || start.elapsed() > Duration::from_secs(60) => {
                let log = fs::read_to_string(home.join("log")).unwrap_or_default();
                return Err(format!("{error}: {}", log.lines().last().unwrap_or("no log")).into());
            }
            // Nobody listens yet, or it is not ready.
            _ => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    };
    tokio::time::sleep(Duration::from_millis(500)).await;
    let resident = process.used().resident as f64 / 1024.0;
    process.stop();
    Ok((took, resident))
}

fn write_prompts(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    for i in 0..PROMPTS {
        let text = format!(
            r#"description = "Answers tickets of shop {i}"
[[messages]]
role = "system"
content = "You answer customers of shop {i} about {{{{ product }}}}. {{% if tone %}}Tone: {{{{ tone }}}}.{{% endif %}} Be short, name the order's number, promise nothing."
[[messages]]
placeholder = "history"
[[messages]]
role = "user"
content = "{{{{ ticket }}}}"
[variables]
product = {{ type = "string" }}
ticket = {{ type = "string", maxLength = 20000 }}
tone = {{ type = "string", default = "" }}
history = {{ type = "messages", default = [] }}
[settings]
model = "bench"
temperature = 0.2
[[tests]]
variables = {{ product = "Acme", ticket = "Hi" }}
contains = ["Acme"]
"#
        );
        fs::write(folder.join(format!("shop-{i}.toml")), text)?;
    }
    Ok(())
}
