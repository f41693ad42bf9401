use super::*;

fn cleaned(mut value: Value) -> Value {
    clean(&mut value);
    value
}

#[test]
fn a_deployment_keeps_only_what_somebody_wrote() {
    let live = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop", "uid": "u", "resourceVersion": "1", "generation": 2, "creationTimestamp": "2026-01-01T00:00:00Z", "selfLink": "/x",
            "managedFields": [{}], "labels": {"app": "web"}, "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"}},
        "spec": {"replicas": 2, "progressDeadlineSeconds": 600, "revisionHistoryLimit": 10, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"creationTimestamp": null, "labels": {"app": "web"}}, "spec": {
                "containers": [{"name": "app", "image": "r.io:5000/web:1.9", "imagePullPolicy": "IfNotPresent", "resources": {}, "securityContext": {}, "args": [],
                    "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File", "ports": [{"containerPort": 80, "protocol": "TCP"}],
                    "env": [{"name": "EMPTY", "value": ""}, {"name": "IP", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}}}],
                    "livenessProbe": {"httpGet": {"path": "/", "port": 80, "scheme": "HTTP"}, "timeoutSeconds": 1, "periodSeconds": 5, "successThreshold": 1, "failureThreshold": 3},
                    "volumeMounts": [{"name": "kube-api-access-x", "mountPath": "/var/run/secrets"}]}],
                "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "schedulerName": "default-scheduler", "securityContext": {}, "terminationGracePeriodSeconds": 30,
                "enableServiceLinks": true, "preemptionPolicy": "PreemptLowerPriority", "priority": 0, "serviceAccount": "web", "serviceAccountName": "web",
                "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}, {"effect": "NoExecute", "key": "node.kubernetes.io/unreachable", "operator": "Exists", "tolerationSeconds": 300}],
                "volumes": [{"name": "tmp", "emptyDir": {}}, {"name": "c", "configMap": {"name": "c", "defaultMode": 420}}, {"name": "kube-api-access-x", "projected": {}}]}}},
        "status": {}});
    assert_eq!(
        cleaned(live),
        json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop", "creationTimestamp": "2026-01-01T00:00:00Z", "labels": {"app": "web"}},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": {"metadata": {"labels": {"app": "web"}}, "spec": {
            "containers": [{"name": "app", "image": "r.io:5000/web:1.9", "ports": [{"containerPort": 80}],
                "env": [{"name": "EMPTY", "value": ""}, {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
                "livenessProbe": {"httpGet": {"path": "/", "port": 80}, "periodSeconds": 5}}],
            "serviceAccountName": "web", "volumes": [{"name": "tmp", "emptyDir": {}}, {"name": "c", "configMap": {"name": "c"}}]}}}})
    );
}

#[test]
fn a_default_is_only_removed_where_it_is_one() {
    let kept = [
        json!({"kind": "ConfigMap", "data": {"A": "", "restartPolicy": "Always"}}),
        json!({"kind": "NetworkPolicy", "spec": {"podSelector": {}, "ingress": [{}], "egress": []}}),
        json!({"kind": "Pod", "spec": {"restartPolicy": "Never", "dnsPolicy": "None", "containers": [{"image": "a", "imagePullPolicy": "IfNotPresent"}, {"image": "a:1", "imagePullPolicy": "Always"}]}}),
        json!({"kind": "Service", "spec": {"ipFamilies": ["IPv6", "IPv4"], "ipFamilyPolicy": "PreferDualStack", "ports": [{"port": 53, "protocol": "UDP"}]}}),
        json!({"kind": "Issuer", "spec": {"selfSigned": {}}}),
        json!({"kind": "List", "items": [{"data": {"args": "", "A": ""}, "metadata": {"labels": {"status": ""}}}]}),
        json!({"spec": {"openAPIV3Schema": {"properties": {"status": {}, "metadata": {}}}}}),
        json!({"kind": "Widget", "spec": {"revisionHistoryLimit": 10, "protocol": "TCP"}}),
    ];
    for object in kept {
        assert_eq!(cleaned(object.clone()), object);
    }
    let removed = [
        (
            json!({"kind": "Pod", "spec": {"containers": [{"image": "a@sha256:x", "imagePullPolicy": "IfNotPresent"}, {"image": "r:5/a", "imagePullPolicy": "Always"}]}}),
            json!({"kind": "Pod", "spec": {"containers": [{"image": "a@sha256:x"}, {"image": "r:5/a"}]}}),
        ),
        (
            json!({"kind": "Service", "spec": {"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack", "internalTrafficPolicy": "Cluster", "sessionAffinity": "None", "ports": [{"port": 80, "protocol": "TCP"}]}, "status": {"loadBalancer": {}}}),
            json!({"kind": "Service", "spec": {"clusterIP": "10.0.0.1", "ports": [{"port": 80}]}}),
        ),
        (
            json!({"kind": "List", "items": [{"metadata": {"name": "a", "uid": "u"}}]}),
            json!({"kind": "List", "items": [{"metadata": {"name": "a"}}]}),
        ),
    ];
    for (object, expected) in removed {
        assert_eq!(cleaned(object), expected);
    }
}

#[test]
fn yaml_keeps_order_and_shows_what_is_invisible() {
    let cases = [
        (json!({"b": 1, "a": {"z": true, "x": null}}), "b: 1\na:\n  z: true\n  x: null\n"),
        (json!({"a": "one\ntwo\n"}), "a: |\n  one\n  two\n"),
        (json!({"a": "x\u{200b}y\u{202e}\u{1b}[0m\t\u{85}"}), "a: \"x\\u200by\\u202e\\x1b[0m\\t\\x85\"\n"),
        (json!({"k\u{200b}": "v"}), "\"k\\u200b\": v\n"),
        (json!({"a": "hi\u{e0041}\u{fe0f}"}), "a: hi\n"),
        (json!({"a": "\u{10ffff}\u{1}00000041\u{2}"}), "a: \"\\U0010ffff\\x0100000041\\x02\"\n"),
        (
            json!({"a": "yes", "b": "0x1f", "c": "1e3", "d": "null", "e": "1_000", "y": "012"}),
            "a: \"yes\"\nb: '0x1f'\nc: '1e3'\nd: 'null'\ne: \"1_000\"\n\"y\": '012'\n",
        ),
    ];
    for (value, expected) in cases {
        let text = to_yaml(&value);
        assert_eq!(text, expected);
        assert!(!text.chars().any(|c| sanitize::invisible(c) && c != '\n'), "{text:?}");
    }
    for value in [
        json!({"a": "x\u{200b}\u{10ffff}\t \u{1}00000041\u{2} \\x01", "😀é": "世界 😀", "n": [1, -2, 1.5, u64::MAX]}),
        json!("---\nx: 1\n"),
        json!([]),
    ] {
        assert_eq!(documents(&to_yaml(&value)), Ok(vec![value]));
    }
}

#[test]
fn a_bomb_of_aliases_is_no_document() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let _ = writeln!(bomb, "a{level}: &a{level} [{}]", vec![format!("*a{}", level - 1); 9].join(", "));
    }
    assert!(documents(&bomb).is_err());
}
