// The same failure as report.cpp's, reported by Sentry's SDK for Node.js to the DSN of the first argument.
import * as Sentry from '@sentry/node'

Sentry.init({
  dsn: process.argv[2],
  release: 'acme@1.4.0',
  transportOptions: { headers: { 'Content-Type': 'application/x-sentry-envelope' } }, // Spotlight passes over others
  initialScope: { tags: { plugin: 'aws' } },
})
Sentry.addBreadcrumb({ category: 'sync', message: 'started', level: 'info' })
Sentry.captureException(new Error('the sync failed', { cause: new Error('no space left on device') }))
Sentry.captureMessage('that was all', 'warning')
process.exit((await Sentry.flush(30000)) ? 0 : 1)
