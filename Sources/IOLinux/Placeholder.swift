// Placeholder of the module; its files arrive beside it.
