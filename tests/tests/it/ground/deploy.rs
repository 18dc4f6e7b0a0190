//! What `deploy/` says of the program is held against the program: settings, roles, ports, probes and every metric.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
    time::Duration,
};

use clap::{Arg, CommandFactory, Parser, ValueEnum};
use deskfold_tests::{Client, NatsServer, Server, free_port, root};
use gateway::config::{Cli, Role};
use regex::Regex;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    ground::{
        databases::until,
        nats::relayed,
        program::{Running, failure, home, output},
    },
    world::ticket,
};

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The documents of a YAML file.
fn yaml(path: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn fixture(name: &str) -> Value {
    serde_json::from_str(&read(&format!("tests/fixtures/{name}"))).unwrap()
}

fn files(directory: &str, ending: &str) -> Vec<String> {
    let entries = fs::read_dir(root().join(directory)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut paths: Vec<_> =
        names.filter(|name| name.ends_with(ending)).map(|name| format!("{directory}/{name}")).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{directory} has no {ending}");
    paths
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[track_caller]
fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

#[track_caller]
fn valid(path: &str, schema: &Value, value: &Value) {
    let validator = jsonschema::validator_for(schema).unwrap();
    let faults: Vec<_> =
        validator.iter_errors(value).map(|error| format!("{path}{}: {error}", error.instance_path())).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

// Settings.

/// The setting of `deskfold serve` with this environment variable.
fn setting(name: &str) -> Arg {
    let command = Cli::command();
    let mut settings = command.find_subcommand("serve").unwrap().get_arguments();
    let found = settings.find(|setting| setting.get_env().is_some_and(|known| known == name));
    found.unwrap_or_else(|| panic!("`deskfold serve` knows no {name}")).clone()
}

/// There is such a setting, and it may have this value.
#[track_caller]
fn is_a_setting(name: &str, value: &str) {
    let setting = setting(name);
    let flag = format!("--{}", setting.get_long().unwrap());
    // A secret may be pasted in where the file is used.
    let pasted = Regex::new(r"\$\{[^}]*\}").unwrap().replace_all(value, "secret");
    let parsed = Cli::try_parse_from(["deskfold", "serve", &flag, &pasted]);
    assert!(parsed.is_ok(), "{name}={value}: {}", parsed.err().unwrap());
    let has_password = setting.is_hide_env_values_set() && value.contains('@');
    assert!(!has_password || value.contains("${"), "{name} has its password in the file");
}

#[track_caller]
fn port(address: &str) -> u64 {
    address.rsplit_once(':').unwrap().1.parse().unwrap()
}

// The image.

/// The instructions of the Dockerfile's last stage, by name.
fn image() -> Vec<(String, String)> {
    let whole = read("deploy/Dockerfile");
    let without_comments = whole.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n");
    let joined = Regex::new(r"\\\n\s*").unwrap().replace_all(&without_comments, "").into_owned();
    let mut stage = Vec::new();
    for (name, rest) in joined.lines().filter_map(|line| line.split_once(' ')) {
        if name == "FROM" {
            stage.clear();
        }
        stage.push((name.to_owned(), rest.trim().to_owned()));
    }
    stage
}

/// What the image tells the program, unless whoever runs it says otherwise.
fn image_settings() -> BTreeMap<String, String> {
    let image = image();
    let pairs = image.iter().filter(|(name, _)| name == "ENV").flat_map(|(_, rest)| rest.split_whitespace());
    pairs.map(|pair| pair.split_once('=').unwrap()).map(|(name, value)| (name.into(), value.into())).collect()
}

fn command_line(array: &str) -> Vec<String> {
    serde_json::from_str(&array[array.find('[').unwrap()..]).unwrap()
}

#[test]
fn the_image_runs_the_program_as_nobody_in_particular() {
    let image = image();
    let of = |wanted: &str| {
        let mut found = image.iter().filter(|(name, _)| name == wanted).map(|(_, rest)| rest.as_str());
        let last = found.next_back();
        last.unwrap_or_else(|| panic!("the image has no {wanted}"))
    };
    let user = of("USER");
    assert!(user.split(':').all(|id| id.parse::<u32>().is_ok_and(|id| id > 999)), "{user} is somebody");
    let settings = image_settings();
    for (name, value) in &settings {
        is_a_setting(name, value);
    }
    let exposed: Vec<u64> = of("EXPOSE").split_whitespace().map(|port| port.parse().unwrap()).collect();
    let listens = ["DESKFOLD_LISTEN", "DESKFOLD_HEALTH_LISTEN"].map(|name| port(&settings[name]));
    assert_eq!(exposed, listens);
    let line = [command_line(of("ENTRYPOINT")), command_line(of("CMD"))].concat();
    Cli::try_parse_from(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
    let health = command_line(of("HEALTHCHECK"));
    Cli::try_parse_from(&health).unwrap_or_else(|error| panic!("{health:?}: {error}"));
    assert!(health.last().unwrap().ends_with(&format!(":{}", listens[1])), "{health:?} asks where health is told");

    // It is built from all crates.
    let manifest = read("Cargo.toml");
    let members = manifest.lines().find_map(|line| line.strip_prefix("members = ")).unwrap();
    let sent = read("deploy/Dockerfile.dockerignore");
    for member in serde_json::from_str::<Vec<String>>(members).unwrap() {
        assert!(sent.lines().any(|line| line == format!("!{member}")), "{member} is not sent to the build");
    }
}

#[test]
fn the_unit_file_sets_what_the_program_knows() {
    for line in read("deploy/deskfold.service").lines().filter_map(|line| line.strip_prefix("Environment=")) {
        let (name, value) = line.split_once('=').unwrap();
        is_a_setting(name, value);
    }
}

// Compose.

#[test]
fn compose_is_valid_and_tells_the_program_what_it_knows() {
    let [compose] = yaml("deploy/compose.yaml").try_into().unwrap();
    valid("compose.yaml", &fixture("compose-spec.json"), &compose);
    let services = compose["services"].as_object().unwrap();
    let expected = ["deskfold", "grafana", "nats", "postgres", "prometheus"];
    assert_eq!(services.keys().collect::<BTreeSet<_>>(), expected.map(str::to_owned).iter().collect());
    let secrets = read("deploy/example.env");
    let pasted = Regex::new(r"\$\{(\w+)").unwrap();
    for (name, service) in services {
        for (variable, value) in service["environment"].as_object().into_iter().flatten() {
            if name == "deskfold" {
                is_a_setting(variable, text(value));
            }
            if variable.contains("PASSWORD") {
                assert!(text(value).starts_with("${"), "{variable} of {name} stands in the file");
            }
            for named in pasted.captures_iter(text(value)) {
                assert!(secrets.contains(&format!("\n{}=", &named[1])), "example.env lacks {}", &named[1]);
            }
        }
        for volume in list(&service["volumes"]).map(text) {
            let source = volume.split(':').next().unwrap();
            match source.strip_prefix("./") {
                Some(file) => {
                    assert!(root().join("deploy").join(file).exists(), "{name} mounts {file}, which is not there");
                }
                None => assert!(compose["volumes"].get(source).is_some(), "{name} mounts {source}, which is not there"),
            }
        }
        // Whatever is reached from outside is reached from this machine only.
        for port in list(&service["ports"]).map(text) {
            assert!(port.starts_with("127.0.0.1:"), "{name} is open to the world: {port}");
        }
        assert!(service["image"].as_str().is_some_and(|image| name == "deskfold" || image.contains(':')), "{name}");
    }
    let deskfold = &services["deskfold"];
    assert_eq!((&deskfold["read_only"], &deskfold["cap_drop"]), (&json!(true), &json!(["ALL"])));
    let build = root().join("deploy").join(text(&deskfold["build"]["context"]));
    assert!(build.join(text(&deskfold["build"]["dockerfile"])).exists());

    let [prometheus] = yaml("deploy/prometheus.yml").try_into().unwrap();
    for rules in list(&prometheus["rule_files"]).map(text) {
        assert!(list(&services["prometheus"]["volumes"]).any(|volume| text(volume).contains(&format!("/{rules}:"))));
    }
    let [job] = list(&prometheus["scrape_configs"]).collect::<Vec<_>>().try_into().unwrap();
    assert_eq!(job["job_name"], "deskfold");
    let target = text(&job["static_configs"][0]["targets"][0]);
    assert_eq!(target, format!("deskfold:{}", port(&image_settings()["DESKFOLD_HEALTH_LISTEN"])));
}

// Kubernetes.

const KUBERNETES: &str = "deploy/kubernetes";

/// Every object, with its file.
fn objects() -> Vec<(String, Value)> {
    let manifests = files(KUBERNETES, ".yaml");
    let manifests = manifests.into_iter().filter(|path| !path.ends_with("kustomization.yaml"));
    manifests.flat_map(|path| yaml(&path).into_iter().map(move |object| (path.clone(), object))).collect()
}

fn of_kind<'a>(objects: &'a [(String, Value)], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|(_, object)| object["kind"] == kind).map(|(_, object)| object).collect()
}

/// Whether a selector's labels are among those of a pod.
fn selects(selector: &Value, labels: &Value) -> bool {
    selector.as_object().unwrap().iter().all(|(name, value)| labels[name] == *value)
}

#[test]
fn the_manifests_are_objects_of_kubernetes() {
    let schema = fixture("kubernetes-1.34.json");
    for (path, object) in objects() {
        let kind = format!("{}/{}", text(&object["apiVersion"]), text(&object["kind"]));
        let definition = schema["kinds"][&kind].as_str().unwrap_or_else(|| panic!("{path}: no schema of {kind}"));
        let reference = json!({ "$ref": format!("#/$defs/{definition}"), "$defs": schema["$defs"] });
        valid(&path, &reference, &object);
    }
    let [kustomization] = yaml("deploy/kubernetes/kustomization.yaml").try_into().unwrap();
    let listed: BTreeSet<_> =
        list(&kustomization["resources"]).map(|name| format!("{KUBERNETES}/{}", text(name))).collect();
    assert_eq!(listed, objects().into_iter().map(|(path, _)| path).collect());
}

#[test]
fn the_manifests_say_what_the_program_knows() {
    let objects = objects();
    let mut roles = BTreeSet::new();
    let health = port(&image_settings()["DESKFOLD_HEALTH_LISTEN"]);
    for map in of_kind(&objects, "ConfigMap") {
        for (name, value) in map["data"].as_object().unwrap() {
            is_a_setting(name, text(value));
        }
    }
    let deployments = of_kind(&objects, "Deployment");
    for deployment in &deployments {
        let name = text(&deployment["metadata"]["name"]);
        let [container] =
            list(&deployment["spec"]["template"]["spec"]["containers"]).collect::<Vec<_>>().try_into().unwrap();
        let line = list(&container["args"]).map(text);
        Cli::try_parse_from(["deskfold"].into_iter().chain(line)).unwrap_or_else(|error| panic!("{name}: {error}"));
        for variable in list(&container["env"]) {
            let is_secret = setting(text(&variable["name"])).is_hide_env_values_set();
            match variable["value"].as_str() {
                Some(value) => {
                    assert!(!is_secret, "{name} has a secret in the file");
                    is_a_setting(text(&variable["name"]), value);
                }
                None => assert!(variable["valueFrom"]["secretKeyRef"]["key"].is_string(), "{name}: {variable}"),
            }
            if variable["name"] == "DESKFOLD_ROLES" {
                roles.extend(text(&variable["value"]).split(',').map(ToOwned::to_owned));
            }
        }
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
            let asked = &container[probe]["httpGet"];
            let path = if probe == "readinessProbe" { "/readyz" } else { "/healthz" };
            assert_eq!(asked["path"], path, "the {probe} of {name}");
            let named = list(&container["ports"]).find(|port| port["name"] == asked["port"]).unwrap();
            assert_eq!(named["containerPort"], health, "the {probe} of {name}");
        }
        let annotations = &deployment["spec"]["template"]["metadata"]["annotations"];
        assert_eq!(annotations["prometheus.io/port"], health.to_string());
        // It drains for 20 s and stops its work for 20 more.
        let grace = &deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"];
        assert!(grace.as_u64() > Some(45), "{name} is killed while it stops");
        let labels = &deployment["spec"]["template"]["metadata"]["labels"];
        assert!(selects(&deployment["spec"]["selector"]["matchLabels"], labels));
        let budgets = of_kind(&objects, "PodDisruptionBudget");
        let guarding = budgets.iter().filter(|budget| selects(&budget["spec"]["selector"]["matchLabels"], labels));
        assert_eq!(guarding.count(), 1, "{name} has one disruption budget");
        assert!(deployment["spec"]["replicas"].as_u64() > Some(1), "{name} outlives a node");
    }
    let all = Role::value_variants().iter().map(|role| role.to_possible_value().unwrap().get_name().to_owned());
    assert_eq!(roles, all.collect(), "the processes together have every role");
    for service in of_kind(&objects, "Service") {
        let selector = &service["spec"]["selector"];
        let found: Vec<_> = deployments
            .iter()
            .filter(|deployment| selects(selector, &deployment["spec"]["template"]["metadata"]["labels"]))
            .collect();
        let [deployment] = found.as_slice() else { panic!("{service} finds {} deployments", found.len()) };
        let container = &deployment["spec"]["template"]["spec"]["containers"][0];
        for port in list(&service["spec"]["ports"]) {
            assert!(list(&container["ports"]).any(|known| known["name"] == port["targetPort"]), "{port}");
        }
        assert!(
            list(&container["env"])
                .any(|variable| variable["value"].as_str().is_some_and(|roles| roles.contains("api")))
        );
    }
}

#[test]
fn no_container_may_do_more_than_it_needs() {
    let objects = objects();
    let mut pods: Vec<_> =
        of_kind(&objects, "Deployment").into_iter().map(|object| &object["spec"]["template"]["spec"]).collect();
    let jobs = of_kind(&objects, "CronJob").into_iter();
    pods.extend(jobs.map(|object| &object["spec"]["jobTemplate"]["spec"]["template"]["spec"]));
    assert_eq!(pods.len(), 3);
    for pod in pods {
        assert_eq!(pod["automountServiceAccountToken"], false, "{pod}");
        let context = &pod["securityContext"];
        assert_eq!(context["runAsNonRoot"], true, "{pod}");
        assert_eq!(context["seccompProfile"]["type"], "RuntimeDefault", "{pod}");
        assert!(context["runAsUser"].as_u64() > Some(999), "{pod}");
        for container in list(&pod["containers"]) {
            let context = &container["securityContext"];
            assert_eq!(context["allowPrivilegeEscalation"], false, "{container}");
            assert_eq!(context["readOnlyRootFilesystem"], true, "{container}");
            assert_eq!(context["capabilities"], json!({ "drop": ["ALL"] }), "{container}");
            let resources = &container["resources"];
            for needed in
                [&resources["requests"]["cpu"], &resources["requests"]["memory"], &resources["limits"]["memory"]]
            {
                assert!(needed.is_string(), "{container}");
            }
        }
    }
}

// Metrics.

/// What a server exports: each name with its labels and their values, and the families.
struct Exported {
    labels: BTreeMap<String, BTreeMap<String, BTreeSet<String>>>,
    families: BTreeSet<String>,
    text: String,
}

/// The metrics of a server that does everything.
async fn exported() -> Exported {
    let nats = NatsServer::start();
    let directory = home();
    let path = directory.path().to_str().unwrap();
    let server = Server::with(&["--nats-url", &nats.url(), "--storage-dir", path]).await;
    ticket(&server.admin, "Something happens").await;
    server.settle().await;
    relayed(&server.app, &server.database.pool).await;
    let anybody = server.client("");
    anybody.get("/metrics").await.expect_text();
    let text = anybody.get("/metrics").await.expect_text();
    let sample = Regex::new(r"^([a-z_]+)(?:\{(.*)\})? \S+$").unwrap();
    let label = Regex::new(r#"(\w+)="((?:[^"\\]|\\.)*)""#).unwrap();
    let (mut labels, mut families) = (BTreeMap::<_, BTreeMap<_, BTreeSet<_>>>::new(), BTreeSet::new());
    for line in text.lines() {
        if let Some(family) = line.strip_prefix("# TYPE ") {
            families.insert(family.split(' ').next().unwrap().to_owned());
        } else if !line.starts_with('#') {
            let sample = sample.captures(line).unwrap_or_else(|| panic!("{line}"));
            let known = labels.entry(sample[1].to_owned()).or_default();
            for pair in label.captures_iter(sample.get(2).map_or("", |labels| labels.as_str())) {
                known.entry(pair[1].to_owned()).or_default().insert(pair[2].to_owned());
            }
        }
    }
    Exported { labels, families, text }
}

/// An expression in PromQL, where it stands, and the text about its results.
struct Watched {
    place: String,
    expression: String,
    told: String,
}

fn alerts() -> Vec<Value> {
    let [rules] = yaml("deploy/prometheus-rules.yml").try_into().unwrap();
    list(&rules["groups"]).flat_map(|group| list(&group["rules"]).cloned().collect::<Vec<_>>()).collect()
}

fn dashboards() -> Vec<(String, Value)> {
    let paths = files("deploy/grafana/dashboards", ".json");
    paths.into_iter().map(|path| (path.clone(), serde_json::from_str(&read(&path)).unwrap())).collect()
}

fn watched() -> Vec<Watched> {
    let of_alert = |alert: Value| Watched {
        place: text(&alert["alert"]).to_owned(),
        expression: text(&alert["expr"]).to_owned(),
        told: alert["annotations"].to_string(),
    };
    let mut all: Vec<_> = alerts().into_iter().map(of_alert).collect();
    for (path, dashboard) in dashboards() {
        for panel in list(&dashboard["panels"]) {
            for target in list(&panel["targets"]) {
                let place = format!("{path}: {}", text(&panel["title"]));
                let (expression, told) = (text(&target["expr"]).to_owned(), text(&target["legendFormat"]).to_owned());
                all.push(Watched { place, expression, told });
            }
        }
    }
    all
}

/// A metric with its matchers: label and value.
type Selector = (String, Vec<(String, String)>);

/// Metrics in an expression, and the labels it groups by.
fn parts(expression: &str) -> (Vec<Selector>, BTreeSet<String>) {
    static GROUPING: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)").unwrap());
    static SELECTOR: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r#"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[^}"]|"[^"]*")*)\})?(\s*\()?"#).unwrap());
    static MATCHER: LazyLock<Regex> = LazyLock::new(|| Regex::new(r#"(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)""#).unwrap());
    static RANGE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\[[^\]]*\]").unwrap());
    let lists = GROUPING.captures_iter(expression).map(|list| list[1].to_owned()).collect::<Vec<_>>();
    let grouped = lists.iter().flat_map(|list| list.split(',')).map(|label| label.trim().to_owned()).collect();
    let without_lists = GROUPING.replace_all(expression, " ");
    let plain = RANGE.replace_all(&without_lists, " ");
    let mut metrics = Vec::new();
    for selector in SELECTOR.captures_iter(&plain) {
        let is_word = ["and", "or", "unless", "bool", "offset"].contains(&&selector[1]);
        if selector.get(3).is_none() && !is_word {
            let matchers = MATCHER.captures_iter(selector.get(2).map_or("", |matchers| matchers.as_str()));
            let matchers = matchers.map(|matcher| (matcher[1].to_owned(), matcher[2].to_owned())).collect();
            metrics.push((selector[1].to_owned(), matchers));
        }
    }
    (metrics, grouped)
}

#[test]
fn expressions_are_taken_apart() {
    let (metrics, grouped) = parts(r#"max by (le, a) (rate(x_bucket{r=~"/v1/.*{b}", t="u"}[5m])) > 2 * y and up"#);
    let names: Vec<_> = metrics.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["x_bucket", "y", "up"]);
    assert_eq!(metrics[0].1, [("r".into(), "/v1/.*{b}".into()), ("t".into(), "u".to_owned())]);
    assert_eq!(grouped, ["a", "le"].map(str::to_owned).into());
}

/// Prometheus adds where it has a sample from, and whether it could be had.
const OF_PROMETHEUS: [&str; 2] = ["instance", "job"];

#[tokio::test]
async fn every_metric_that_is_watched_is_exported_and_every_exported_one_is_shown() {
    let exported = exported().await;
    let told = Regex::new(r"\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}").unwrap();
    let mut shown = BTreeSet::new();
    for Watched { place, expression, told: about } in watched() {
        let (metrics, grouped) = parts(&expression);
        assert!(!metrics.is_empty(), "{place}: {expression} watches nothing");
        let mut labels: BTreeSet<&str> = OF_PROMETHEUS.into();
        for (name, matchers) in &metrics {
            let known = match exported.labels.get(name) {
                Some(known) => known,
                None if name == "up" => continue,
                None => panic!("{place}: {name} is not exported"),
            };
            labels.extend(known.keys().map(String::as_str));
            for (label, value) in matchers {
                let is_added = OF_PROMETHEUS.contains(&label.as_str());
                assert!(is_added || known.contains_key(label), "{place}: {name} has no label {label}");
                // Where all values are known from the start, those asked for are among them.
                if ["type", "kind", "outcome"].contains(&label.as_str()) {
                    for value in value.split('|') {
                        assert!(known[label].contains(value), "{place}: there is no {label} {value}");
                    }
                }
            }
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|ending| name.strip_suffix(ending));
            shown.insert(family.filter(|family| exported.families.contains(*family)).unwrap_or(name).to_owned());
        }
        for label in &grouped {
            assert!(labels.contains(label.as_str()), "{place}: nothing has a label {label}");
        }
        let aggregates = expression.contains("sum") || expression.contains("max") || expression.contains("min ");
        for label in told.captures_iter(&about) {
            let known = if aggregates { grouped.contains(&label[1]) } else { labels.contains(&label[1]) };
            assert!(known, "{place}: the text names {}, which the result has not", &label[1]);
        }
    }
    let ours = exported.families.iter().filter(|family| family.starts_with("deskfold_"));
    let hidden: Vec<_> = ours.filter(|family| !shown.contains(*family)).collect();
    assert!(hidden.is_empty(), "show these on deploy/grafana/dashboards/operators.json: {hidden:?}");
}

#[test]
fn dashboards_are_whole() {
    let mut known = BTreeSet::new();
    for (path, dashboard) in dashboards() {
        assert!(known.insert(text(&dashboard["uid"]).to_owned()), "{path} has the uid of another");
        assert!(!text(&dashboard["title"]).is_empty());
        let (mut ids, mut taken) = (BTreeSet::new(), BTreeMap::new());
        for panel in list(&dashboard["panels"]) {
            let title = text(&panel["title"]);
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{path}: {title}");
            let [x, y, w, h] = ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap());
            assert!(x + w <= 24, "{path}: {title} is off the page");
            for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
                let other = taken.insert(cell, title);
                assert_eq!(other, None, "{path}: {title} covers another panel");
            }
            assert!(panel["type"] == "row" || list(&panel["targets"]).next().is_some(), "{path}: {title} is empty");
        }
    }
    assert_eq!(known.len(), 2);
}

// Alerts.

#[test]
fn every_alert_has_a_test_in_which_it_fires_and_one_in_which_it_does_not() {
    let [tests] = yaml("deploy/prometheus-rules.test.yml").try_into().unwrap();
    let (mut firing, mut silent) = (BTreeSet::new(), BTreeSet::new());
    for case in list(&tests["tests"]).flat_map(|test| list(&test["alert_rule_test"])) {
        let expected = list(&case["exp_alerts"]).count();
        let seen = if expected > 0 { &mut firing } else { &mut silent };
        seen.insert(text(&case["alertname"]).to_owned());
    }
    let all: BTreeSet<_> = alerts().iter().map(|alert| text(&alert["alert"]).to_owned()).collect();
    assert_eq!(firing, all);
    assert_eq!(silent, all);
}

/// Prometheus' own tool: on the path, or where `deploy/install-prerequisites.sh` puts it.
fn promtool() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|directory| directory.join("promtool"));
    let found = found.chain([root().join("target/tools/promtool")]).find(|path| path.is_file());
    if found.is_none() {
        eprintln!("SKIPPED: there is no promtool; deploy/install-prerequisites.sh puts it into target/tools");
    }
    found
}

fn ends_well(command: &mut Command) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{command:?}: {said}");
}

#[test]
fn prometheus_itself_reads_the_alerts_and_runs_their_tests() {
    let Some(promtool) = promtool() else { return };
    let deploy = root().join("deploy");
    let run = |arguments: &[&str]| ends_well(Command::new(&promtool).args(arguments).current_dir(&deploy));
    run(&["check", "config", "prometheus.yml"]);
    run(&["test", "rules", "prometheus-rules.test.yml"]);

    // What panels ask is read the same way, as rules that record it.
    let variables = [("$__rate_interval", "5m"), ("$__range", "6h")];
    let rules: Vec<_> = watched()
        .iter()
        .enumerate()
        .map(|(number, watched)| {
            let plain = |text: String, (name, value): &(&str, &str)| text.replace(name, value);
            let expression = variables.iter().fold(watched.expression.clone(), plain);
            json!({ "record": format!("panel:{number}"), "expr": expression })
        })
        .collect();
    let directory = home();
    let file = directory.path().join("rules.yml");
    // JSON is YAML.
    fs::write(&file, json!({ "groups": [{ "name": "panels", "rules": rules }] }).to_string()).unwrap();
    ends_well(Command::new(&promtool).args(["check", "rules"]).arg(&file));
}

#[tokio::test]
async fn prometheus_itself_reads_the_metrics() {
    let Some(promtool) = promtool() else { return };
    let directory = home();
    let file = directory.path().join("metrics");
    fs::write(&file, exported().await.text).unwrap();
    let mut command = Command::new(promtool);
    command.args(["check", "metrics"]).stdin(fs::File::open(&file).unwrap());
    tokio::task::spawn_blocking(move || ends_well(&mut command)).await.unwrap();
}

// Processes with roles of their own.

#[tokio::test(flavor = "multi_thread")]
async fn a_process_without_http_tells_its_health_and_metrics_all_the_same() {
    let database = deskfold_tests::database().await;
    let home = home();
    let address = format!("127.0.0.1:{}", free_port());
    let url = format!("http://{address}");
    let said = failure(&["health", "--server", &url]).await;
    assert!(said.contains("cannot be reached"), "{said}");
    let arguments = ["--database-url", &database.url, "--roles", "project,react,relay", "--health-listen", &address];
    let running = Running::start(home.path(), &arguments).await;
    let client = Client::new(address.parse().unwrap(), "");
    until(&client, "/readyz", |status, _| status == StatusCode::OK).await;
    assert!(output(&["health", "--server", &url]).await.contains("ok"));
    assert!(output(&["health", "--ready", "--server", &url]).await.contains("\"ready\":true"));
    until_told(&client).await;
    for elsewhere in ["/v1/tickets", "/docs"] {
        let answer = client.request(Method::GET, elsewhere).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{elsewhere} is answered where the API is");
    }

    // A process that lives and cannot work: `health` says so only when it is asked whether it can.
    let api = format!("127.0.0.1:{}", free_port());
    let other = deskfold_tests::database().await;
    let elsewhere = crate::ground::program::home();
    let arguments = ["--database-url", &other.url, "--roles", "api", "--health-listen", &api];
    let idle = Running::start(elsewhere.path(), &arguments).await;
    let url = format!("http://{api}");
    output(&["health", "--server", &url]).await;
    let said = failure(&["health", "--ready", "--server", &url]).await;
    assert!(said.contains("503") && said.contains("building"), "{said}");
    for process in [running, idle] {
        process.signal("TERM");
        assert!(process.end().await.0);
    }
}

/// The subscriptions whose lag a process tells.
async fn told_by(client: &Client) -> BTreeSet<String> {
    let metrics = client.get("/metrics").await.expect_text();
    let lags =
        metrics.lines().filter_map(|line| line.strip_prefix("deskfold_subscription_lag_seconds{subscription=\""));
    lags.map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
}

/// Waits until a process tells the lag of every read model: it keeps them all.
async fn until_told(client: &Client) {
    let all = async {
        loop {
            let told = told_by(client).await;
            if projections::names().into_iter().all(|name| told.contains(name)) {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), all).await.expect("who keeps read models says how far they are");
}

#[tokio::test]
async fn only_who_works_on_a_subscription_tells_how_far_it_is() {
    let server = Server::start().await;
    until_told(&server.admin).await;
    let all = told_by(&server.admin).await;
    let (other, beside) = server.beside(&[]).await;
    // Whoever had the leases has lost them; each goes to whoever asks first.
    let lost = "update log_subscription set epoch = epoch + 1, leased_until = clock_timestamp() - interval '1 second'";
    sqlx::query(lost).execute(&server.database.pool).await.unwrap();
    let shared_out = async {
        loop {
            let (ours, theirs) = (told_by(&server.admin).await, told_by(&beside).await);
            let both: BTreeSet<_> = ours.union(&theirs).cloned().collect();
            if !theirs.is_empty() && ours.is_disjoint(&theirs) && both.is_superset(&all) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), shared_out).await.expect("one at a time tells of each");
    other.stop().await;
}

/// Scripts that nobody has compiled are at least read by their shell.
#[test]
fn scripts_are_read_by_their_shell() {
    for path in files("deploy", ".sh") {
        ends_well(Command::new("bash").arg("-n").arg(root().join(&path)));
        let first = read(&path).lines().next().unwrap().to_owned();
        assert_eq!(first, "#!/bin/bash", "{path}");
        assert!(is_executable(&root().join(&path)), "{path}");
    }
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().unwrap().permissions().mode() & 0o111 == 0o111
}
