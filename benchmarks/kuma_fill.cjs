// Fills a new Uptime Kuma through its own socket: node kuma_fill.cjs PORT TARGET WEBHOOK CHECKS INTERVAL_S
// Run in Kuma's folder, whose socket.io-client it uses. Monitors are added evenly over one interval.
const { io } = require(require.resolve("socket.io-client", { paths: [process.cwd()] }));

const [port, target, webhook, checks, interval] = process.argv.slice(2);
const account = { username: "bench", password: "Long-Enough-5-Bench", token: "" };
const socket = io(`http://127.0.0.1:${port}`);

async function ask(event, ...values) {
    const answer = await new Promise((resolve) => socket.emit(event, ...values, resolve));
    if (!answer.ok) {
        throw new Error(`${event}: ${answer.msg}`);
    }
    return answer;
}

socket.on("connect", async () => {
    await ask("setup", account.username, account.password);
    await ask("login", account);
    const hook = { name: "bench", type: "webhook", webhookURL: webhook, webhookContentType: "json", isDefault: true };
    const { id } = await ask("addNotification", hook, null);
    const began = Date.now();
    for (let index = 0; index < +checks; index++) {
        await ask("add", {
            type: "http", name: `check ${index}`, url: `${target}/${index}`, method: "GET", active: true,
            interval: +interval, retryInterval: +interval, resendInterval: 0, maxretries: 0, timeout: 8, maxredirects: 10,
            accepted_statuscodes: ["200-299"], notificationIDList: { [id]: true }, ignoreTls: false, upsideDown: false,
            expiryNotification: false, dns_resolve_type: "A", dns_resolve_server: "127.0.0.1", authMethod: null,
            httpBodyEncoding: "json", kafkaProducerBrokers: [], kafkaProducerSaslOptions: { mechanism: "None" },
            conditions: [], rabbitmqNodes: [],
        });
        const due = (index + 1) * (interval * 1000) / checks - (Date.now() - began);
        await new Promise((resolve) => setTimeout(resolve, Math.max(0, due)));
    }
    process.exit(0);
});
