fn main() {
    print!("{}", serde_yaml::to_string(&k_mcp::api::crd()).unwrap());
}
