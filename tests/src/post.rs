//! A post office of one test's own: Postfix, by which mail goes, and Dovecot, in which it lies, on the loopback.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::free_port;

/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_secs(60);
/// The domain whose mailboxes lie here.
const DOMAIN: &str = "mail.example";

/// Postfix and Dovecot. They are stopped with this value.
pub struct PostOffice {
    home: TempDir,
    /// Where Postfix takes mail.
    pub smtp: u16,
    /// Where Dovecot shows it.
    pub imap: u16,
    /// Where Postfix brings what is for the desk, by LMTP.
    pub desk: u16,
    dovecot: Option<Child>,
}

fn run(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn id_of(flag: &str) -> Option<u32> {
    let output = Command::new("id").args([flag, "mail"]).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

impl PostOffice {
    /// A running one with these mailboxes of `mail.example`, whose password is `secret`; what is for `desk.example` goes to
    /// the desk. `None`, said on standard error, where there is no Postfix or no Dovecot, or whoever tests is not root.
    pub fn start(mailboxes: &[&str]) -> Option<PostOffice> {
        let there = ["/usr/sbin/postfix", "/usr/sbin/dovecot"].into_iter().all(|program| Path::new(program).exists());
        let is_root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
        let (Some(uid), Some(gid), true, true) = (id_of("-u"), id_of("-g"), there, is_root) else {
            eprintln!("skipped: it needs Postfix and Dovecot, and is run by root");
            return None;
        };
        let home = tempfile::Builder::new().prefix("post").tempdir_in("/tmp").expect("a directory");
        let mut post = PostOffice { home, smtp: free_port(), imap: free_port(), desk: free_port(), dovecot: None };
        let lmtp = free_port();
        let root = post.home.path().to_owned();
        assert!(run(Command::new("chmod").arg("755").arg(&root)));
        for folder in ["mail", "run", "spool", "data", "postfix"] {
            fs::create_dir(root.join(folder)).expect("a directory");
        }
        assert!(run(Command::new("chown").arg("mail:mail").arg(root.join("mail"))));
        assert!(run(Command::new("chown").arg("postfix").arg(root.join("data"))));
        let root = root.display();
        let users: Vec<String> = mailboxes
            .iter()
            .map(|name| format!("{name}@{DOMAIN}:{{plain}}secret:{uid}:{gid}::{root}/mail/{name}::\n"))
            .collect();
        post.write("users", &users.concat());
        let (smtp, imap, desk) = (post.smtp, post.imap, post.desk);
        post.write(
            "dovecot.conf",
            &format!(
                "base_dir = {root}/run\nstate_dir = {root}/run/state\nlog_path = {root}/dovecot.log\nprotocols = imap lmtp\n\
                 listen = 127.0.0.1\nssl = no\ndisable_plaintext_auth = no\nauth_mechanisms = plain login\n\
                 mail_location = maildir:{root}/mail/%n\nfirst_valid_uid = 1\n\
                 passdb {{\n driver = passwd-file\n args = {root}/users\n}}\n\
                 userdb {{\n driver = passwd-file\n args = {root}/users\n}}\n\
                 service imap-login {{\n inet_listener imap {{\n  port = {imap}\n }}\n inet_listener imaps {{\n  port = 0\n }}\n}}\n\
                 service lmtp {{\n inet_listener lmtp {{\n  address = 127.0.0.1\n  port = {lmtp}\n }}\n}}\n\
                 namespace inbox {{\n inbox = yes\n}}\n"
            ),
        );
        post.write(
            "postfix/main.cf",
            &format!(
                "compatibility_level = 3.6\nqueue_directory = {root}/spool\ndata_directory = {root}/data\n\
                 command_directory = /usr/sbin\ndaemon_directory = /usr/lib/postfix/sbin\nmail_owner = postfix\n\
                 setgid_group = postdrop\ninet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nmyhostname = mx.{DOMAIN}\n\
                 mydestination =\nvirtual_mailbox_domains = {DOMAIN}\nvirtual_transport = lmtp:inet:127.0.0.1:{lmtp}\n\
                 relay_domains = desk.example\ntransport_maps = inline:{{ {{desk.example=lmtp:inet:127.0.0.1:{desk}}} }}\n\
                 mynetworks = 127.0.0.0/8\ndisable_dns_lookups = yes\nsmtpd_relay_restrictions = permit_mynetworks, reject\n\
                 maillog_file = {root}/postfix.log\nmaillog_file_prefixes = /tmp\nalias_maps =\nalias_database =\n\
                 smtpd_tls_security_level = none\nminimal_backoff_time = 1s\nmaximal_backoff_time = 1s\nqueue_run_delay = 1s\n"
            ),
        );
        post.write(
            "postfix/master.cf",
            &format!(
                "127.0.0.1:{smtp} inet n - n - - smtpd\npickup unix n - n 60 1 pickup\ncleanup unix n - n - 0 cleanup\n\
                 qmgr unix n - n 300 1 qmgr\nrewrite unix - - n - - trivial-rewrite\nbounce unix - - n - 0 bounce\n\
                 defer unix - - n - 0 bounce\ntrace unix - - n - 0 bounce\nverify unix - - n - 1 verify\n\
                 flush unix n - n 1000? 0 flush\nproxymap unix - - n - - proxymap\nsmtp unix - - n - - smtp\n\
                 relay unix - - n - - smtp\nshowq unix n - n - - showq\nerror unix - - n - - error\n\
                 retry unix - - n - - error\ndiscard unix - - n - - discard\nlmtp unix - - n - - lmtp\n\
                 anvil unix - - n - 1 anvil\nscache unix - - n - 1 scache\npostlog unix-dgram n - n - 1 postlogd\n"
            ),
        );
        let dovecot = Command::new("/usr/sbin/dovecot")
            .args(["-F", "-c"])
            .arg(post.path("dovecot.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        post.dovecot = dovecot.ok();
        assert!(
            run(Command::new("/usr/sbin/postfix").arg("-c").arg(post.path("postfix")).arg("start")),
            "Postfix starts"
        );
        let begun = Instant::now();
        for port in [smtp, imap, lmtp] {
            while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
                assert!(begun.elapsed() < PATIENCE, "the post office does not open: {root}");
                thread::sleep(Duration::from_millis(20));
            }
        }
        Some(post)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("a file");
    }

    /// Hands a mail to Postfix, as a mail program does.
    pub fn send(&self, from: &str, to: &[&str], mail: &str) {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.smtp)).expect("Postfix");
        let mut reader = BufReader::new(stream.try_clone().expect("a stream"));
        let mut writer = stream;
        let mut answer = move |line: Option<String>| {
            if let Some(line) = line {
                writer.write_all(format!("{line}\r\n").as_bytes()).expect("to be heard");
            }
            let mut text = String::new();
            loop {
                text.clear();
                reader.read_line(&mut text).expect("an answer");
                assert!(text.starts_with(['2', '3']), "{text}");
                if text.as_bytes().get(3) != Some(&b'-') {
                    return;
                }
            }
        };
        answer(None);
        answer(Some("EHLO localhost".into()));
        answer(Some(format!("MAIL FROM:<{from}>")));
        for to in to {
            answer(Some(format!("RCPT TO:<{to}>")));
        }
        answer(Some("DATA".into()));
        let stuffed = mail.replace("\r\n", "\n").replace("\n.", "\n..").replace('\n', "\r\n");
        answer(Some(format!("{stuffed}\r\n.")));
        answer(Some("QUIT".into()));
    }

    /// What lies in a mailbox, oldest first.
    pub fn mailbox(&self, name: &str) -> Vec<String> {
        let mut found: Vec<PathBuf> = ["new", "cur"]
            .into_iter()
            .filter_map(|folder| fs::read_dir(self.path(&format!("mail/{name}/{folder}"))).ok())
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect();
        // A name begins with the second and, after an M, the microsecond, which has no zeros before it.
        found.sort_by_key(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let number =
                |text: &str| text.split(|c: char| !c.is_ascii_digit()).next().and_then(|n| n.parse::<u64>().ok());
            (number(&name), name.split_once(".M").and_then(|(_, rest)| number(rest)))
        });
        let text = |path: &PathBuf| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
        found.iter().map(text).collect()
    }

    /// What the servers say of themselves, for a test that fails.
    pub fn log(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.path(name)).unwrap_or_default();
        format!("{}{}", read("postfix.log"), read("dovecot.log"))
    }
}

impl Drop for PostOffice {
    fn drop(&mut self) {
        run(Command::new("/usr/sbin/postfix").arg("-c").arg(self.path("postfix")).arg("stop"));
        if let Some(mut dovecot) = self.dovecot.take() {
            run(Command::new("kill").arg(dovecot.id().to_string()));
            // What it was told it does; its children go with it.
            let _ = dovecot.wait();
        }
    }
}
