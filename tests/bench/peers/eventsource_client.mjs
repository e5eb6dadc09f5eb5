// npm eventsource: prints the values it gets. eventsource_client.mjs MODULE URL
const { EventSource } = await import(process.argv[2]);
const source = new EventSource(process.argv[3]);
source.addEventListener("UPDATE", (event) => console.log(JSON.parse(event.data).delta.TOKEN));
source.onerror = (error) => console.error(error.message ?? "error");
