// Starts npm's web-push-testing as a push service on the loopback interface only: node push_service.js <port>
// It says `ready` once it listens, and ends when its standard input does.
'use strict';

const {PushApiModel} = require('web-push-testing/src/PushApiModel');
const PushService = require('web-push-testing/src/server');

const port = Number(process.argv[2]);
const model = new PushApiModel();
const service = new PushService(model, port);
model.notifyUrl = `http://127.0.0.1:${port}/notify/`;

const listen = service._app.listen.bind(service._app);
service._app.listen = (chosen, listening) => listen(chosen, '127.0.0.1', () => {
	listening();
	console.log('ready');
});
service.startServer();

process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
