use super::*;

fn sandbox(ready: &'static str) -> SandboxLabels {
    SandboxLabels {
        namespace: "ns".into(),
        ready_condition: ready,
        expired: "false",
        launch_type: "warm",
        sandbox_template: "t".into(),
        owned_by: "SandboxWarmPool",
        created_by: "controller",
    }
}

#[test]
fn the_interface_names_and_labels_are_as_dashboards_expect_them() {
    let metrics = Metrics::new();
    let labels = LatencyLabels { launch_type: "warm", sandbox_template: "t".into() };
    let took = Some(Duration::from_millis(120));
    metrics.claim_ready(&labels, took, took, took);
    metrics.sandbox_ready(
        &SandboxLatencyLabels {
            namespace: "ns".into(),
            launch_type: "warm",
            sandbox_template: "t".into(),
        },
        Duration::from_millis(40),
    );
    metrics.claim_created(CreationLabels {
        namespace: "ns".into(),
        sandbox_template: "t".into(),
        launch_type: "warm",
        warmpool_name: "p".into(),
        pod_condition: "ready",
        created_by: "unknown",
    });
    metrics.sandbox_moved(None, Some(&sandbox("true")));
    let text = metrics.encode();
    for line in [
        r#"agent_sandbox_claim_startup_latency_ms_bucket{le="100.0",launch_type="warm",sandbox_template="t"} 0"#,
        r#"agent_sandbox_claim_startup_latency_ms_bucket{le="250.0",launch_type="warm",sandbox_template="t"} 1"#,
        r#"agent_sandbox_claim_controller_startup_latency_ms_count{launch_type="warm",sandbox_template="t"} 1"#,
        r#"agent_sandbox_client_claim_startup_latency_ms_count{launch_type="warm",sandbox_template="t"} 1"#,
        r#"agent_sandbox_creation_latency_ms_count{namespace="ns",launch_type="warm",sandbox_template="t"} 1"#,
        r#"agent_sandbox_claim_creation_total{namespace="ns",sandbox_template="t",launch_type="warm",warmpool_name="p",pod_condition="ready",created_by="unknown"} 1"#,
        r#"agent_sandboxes{namespace="ns",ready_condition="true",expired="false",launch_type="warm",sandbox_template="t",owned_by="SandboxWarmPool",created_by="controller"} 1"#,
        "agent_sandbox_build_info{",
    ] {
        assert!(text.contains(line), "{line}\nnot in\n{text}");
    }
}

#[test]
fn the_gauge_of_sandboxes_follows_moves_and_forgets_empty_series() {
    let metrics = Metrics::new();
    metrics.sandbox_moved(None, Some(&sandbox("false")));
    metrics.sandbox_moved(None, Some(&sandbox("false")));
    metrics.sandbox_moved(Some(&sandbox("false")), Some(&sandbox("true")));
    let text = metrics.encode();
    assert!(text.contains(r#"ready_condition="false",expired="false",launch_type="warm",sandbox_template="t",owned_by="SandboxWarmPool",created_by="controller"} 1"#), "{text}");
    metrics.sandbox_moved(Some(&sandbox("false")), None);
    metrics.sandbox_moved(Some(&sandbox("true")), None);
    assert!(!metrics.encode().contains("agent_sandboxes{"));
}
